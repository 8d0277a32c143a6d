// Plans that compute with one set of weights, at one length after the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "disturbances.h"
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
  ProcessGroup& comm;
  DeviceProbe& probe;
  const Follower& follower;
  TimeBreakdown& breakdown;
  std::vector<std::string> hosts;  ///< of each rank
};

class GroupRun {
 public:
  /// Makes the weights. Not collective.
  GroupRun(const SweepContext& context, const PlanGroup& plans);

  /// Rows of `plans`, which shard the weights as the group does. Collective.
  std::vector<Row> run(std::int64_t seq, const PlanGroup& plans);

 private:
  void reserve(const PlanGroup& plans, std::int64_t seq);
  Measured time(const PlanGroup& plans, const at::Tensor& tokens, const ProtocolListener& listener);
  void profile_plan(const LoweredPlan& plan, const at::Tensor& tokens, Row& row);
  void check(const PlanGroup& plans, std::int64_t seq, std::vector<Row>& rows);
  void report_step(const PlanGroup& plans, std::int64_t seq, std::string_view phase, int done = 0) const;
  std::unique_ptr<Model> model(const LoweredPlan& plan) const;

  const SweepContext& context_;
  EventCounter counter_;
  WeightRecipe recipe_;
  ResidentWeights weights_;
};

}  // namespace tpsp
