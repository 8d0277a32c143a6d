// Plans that compute with one set of weights, at one length after the other.
#pragma once

#include <string>
#include <vector>

#include "tpsp/bench/sweep.h"
#include "tpsp/model/llama.h"

namespace tpsp {

using PlanGroup = std::vector<const LoweredPlan*>;

std::vector<std::string> names_of(const PlanGroup& plans);

/// What every group of a sweep works with.
struct SweepContext {
  const Sweep& sweep;
  World& world;
  Communicator& comm;
  DeviceProbe& probe;
  const SweepFollower& follower;
  Ledger& ledger;
  std::vector<std::string> hosts;  ///< of each rank
};

class GroupRun {
 public:
  /// Makes the weights. Not collective.
  GroupRun(const SweepContext& context, const PlanGroup& plans);

  /// Rows of `plans`, which cut the weights as the group does. Collective.
  std::vector<Row> run(std::int64_t seq, const PlanGroup& plans);

 private:
  void reserve(const PlanGroup& plans, std::int64_t seq);
  std::vector<Measurement> time(const PlanGroup& plans, const at::Tensor& tokens, const ProtocolListener& listener);
  void watch(const LoweredPlan& plan, const at::Tensor& tokens, Row& row);
  void check(const PlanGroup& plans, std::int64_t seq, std::vector<Row>& rows);
  void tell(const PlanGroup& plans, std::int64_t seq, std::string_view phase, int done = 0) const;
  Llama model(const LoweredPlan& plan, Communicator& comm, Observer* observer = nullptr) const;

  const SweepContext& context_;
  CountingCommunicator comm_;
  WeightRecipe recipe_;
  ResidentWeights weights_;
};

}  // namespace tpsp
