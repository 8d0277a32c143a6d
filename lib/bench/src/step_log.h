// What was seen of a plan's training steps, one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/machine/device.h"
#include "tpsp/models/training_step.h"
#include "tpsp/parallel/events.h"

namespace tpsp {

/// Seconds of a step's parts on this rank, all micro-batches together. They fall short of the step by its end,
/// where gathered weights are let go and the loss is summed over replicas.
struct StepTimes {
  double forward_s = 0;
  double backward_s = 0;  ///< the sum of gradients over the ranks included
  double optimizer_s = 0;
};

class StepLog {
 public:
  /// The counters get the steps' events, those over replicas apart.
  StepLog(DeviceProbe& probe, const EventCounter& counter, const EventCounter& replicas)
      : probe_(probe), counter_(counter), replicas_counter_(replicas) {}

  /// A step begins now; the result is to be called with its parts.
  StepListener begin();
  void end(const StepResult& result);

  /// Medians over the steps after the first `warmup`, each part as long as on the slowest rank. Collective.
  StepTimes times(int warmup, World& world) const;
  /// Of the last step.
  const StepResult& last() const { return last_; }
  /// Of the last step, the collectives after the loss.
  const CommCounts& backward() const { return backward_; }
  /// Of the last step, the collectives over replicas.
  const CommCounts& replicas() const { return replicas_; }

 private:
  DeviceProbe& probe_;
  const EventCounter& counter_;
  const EventCounter& replicas_counter_;
  std::vector<StepTimes> times_;
  StepResult last_;
  CommCounts backward_;
  CommCounts replicas_;
  CommCounts counted_;           ///< up to the part that runs
  CommCounts replicas_counted_;  ///< up to this step
  double edge_s_ = 0;
};

}  // namespace tpsp
