// Plans that compute with one set of weights, at one length after the other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device_memory.h"
#include "disturbances.h"
#include "step_log.h"
#include "tpsp/bench/sweep.h"

namespace tpsp {

using PlanGroup = std::vector<const LoweredPlan*>;

std::vector<std::string> names_of(const PlanGroup& plans);
/// "tp and tp+sp at seq 256"
std::string words_of(const PlanGroup& plans, std::int64_t seq);

/// What every group of a sweep works with.
struct SweepContext {
  const Sweep& sweep;
  World& world;
  const Groups& groups;
  DeviceProbe& probe;
  const Follower& follower;
  TimeBreakdown& breakdown;
  std::vector<std::string> hosts;  ///< of each rank
};

/// Hands events on to whom they are for at the moment; without one they are lost.
class EventRelay final : public EventSink {
 public:
  void point_at(EventSink* sink) { sink_ = sink; }
  EventId begin(const Event& event) override { return sink_ != nullptr ? sink_->begin(event) : no_event; }
  void end() noexcept override {
    if (sink_ != nullptr) sink_->end();
  }

 private:
  EventSink* sink_ = nullptr;
};

class GroupRun {
 public:
  /// Makes the weights, and what training needs beside them. Not collective.
  GroupRun(const SweepContext& context, const PlanGroup& plans);

  /// Rows of `plans`, which shard the weights as the group does. Collective.
  std::vector<Row> run(std::int64_t seq, const PlanGroup& plans);

 private:
  /// What training has beside the weights.
  struct Training {
    Gradients gradients;
    std::optional<AdamW> optimizer{};
  };

  void make_weights(const AdamWOptions& options = {});
  void reserve(const PlanGroup& plans, std::int64_t seq);
  Input input(std::uint64_t seed, std::int64_t seq) const;
  const DataParallel* replicas() const { return replicas_ ? &*replicas_ : nullptr; }
  std::unique_ptr<Model> model(const LoweredPlan& plan) const;
  Trainee trainee(const Model& model);
  /// A training step; events over the replicas go apart.
  StepResult step(const Model& model, const Input& input, EventSink* events, EventSink* over_replicas,
                  const StepListener& ended = {});
  Measured time(const PlanGroup& plans, const Input& input, std::vector<StepLog>& logs,
                const ProtocolListener& listener);
  DeviceMemory memory_of(const LoweredPlan& plan, const Input& input);
  void profile_plan(const LoweredPlan& plan, const Input& input, Row& row);
  void check(const PlanGroup& plans, std::int64_t seq, std::vector<Row>& rows);
  void check_forwards(const PlanGroup& plans, const Input& input, std::vector<Row>& rows);
  void check_steps(const PlanGroup& plans, const Input& input, std::vector<Row>& rows);
  void report_step(const PlanGroup& plans, std::int64_t seq, std::string_view phase, int done = 0) const;

  const SweepContext& context_;
  const LoweredPlan& plan_;        ///< one of the group
  EventCounter counter_;           ///< of collectives over the plan's ranks
  EventCounter replicas_counter_;  ///< and over the replicas
  EventRelay replicas_events_;
  std::optional<DataParallel> replicas_;
  WeightRecipe recipe_;
  std::unique_ptr<TrainableWeights> weights_;
  std::optional<Training> training_;
};

}  // namespace tpsp
