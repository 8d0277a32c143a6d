#include "step_log.h"

#include "tpsp/bench/clock.h"
#include "tpsp/statistics/summary.h"

namespace tpsp {

StepListener StepLog::begin() {
  times_.emplace_back();
  backward_ = {};
  counted_ = counter_.counts();
  replicas_counted_ = replicas_counter_.counts();
  edge_s_ = steady_clock_s();
  return [this](StepPart part) {
    probe_.synchronize();
    const double now_s = steady_clock_s();
    auto& times = times_.back();
    auto& part_s = part == StepPart::forward     ? times.forward_s
                   : part == StepPart::optimizer ? times.optimizer_s
                                                 : times.backward_s;
    part_s += now_s - edge_s_;
    edge_s_ = now_s;
    const auto counts = counter_.counts();
    if (part != StepPart::forward) backward_ += counts - counted_;
    counted_ = counts;
  };
}

void StepLog::end(const StepResult& result) {
  last_ = result;
  replicas_ = replicas_counter_.counts() - replicas_counted_;
}

StepTimes StepLog::times(int warmup, World& world) const {
  const std::vector<StepTimes> timed(times_.begin() + warmup, times_.end());
  std::vector<double> mine;
  for (const auto& one : timed) mine.insert(mine.end(), {one.forward_s, one.backward_s, one.optimizer_s});
  const auto slowest = max_over_ranks(world, mine);
  const auto median_of = [&](std::size_t which) {
    std::vector<double> samples;
    for (auto i = which; i < slowest.size(); i += 3) samples.push_back(slowest[i]);
    return samples.empty() ? 0 : median(samples);
  };
  return {.forward_s = median_of(0), .backward_s = median_of(1), .optimizer_s = median_of(2)};
}

}  // namespace tpsp
