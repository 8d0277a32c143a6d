#include "tpsp/bench/profile.h"

#include <algorithm>
#include <chrono>

#include "tpsp/comm/watched.h"

namespace tpsp {
namespace {

std::vector<double> mean_over_ranks(World& world, const std::vector<double>& mine) {
  auto sums = mine;
  for (double& sum : sums) sum = 0;
  for (const auto& theirs : exchange_numbers(world, mine)) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += theirs[i] / world.size();
  }
  return sums;
}

}  // namespace

double steady_clock_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Timeline::start() {
  stretches_.clear();
  open_.assign(1, {Part::other, "forward"});
  edge_s_ = steady_clock_s();
}

void Timeline::stop() {
  close_stretch();
  open_.clear();
}

// What has passed since the last edge belongs to the innermost open part. Time that the watching itself takes, between
// reading the clock and the next work, falls on the part that follows.
void Timeline::close_stretch() {
  probe_.synchronize();
  const double now = steady_clock_s();
  const auto& [part, label] = open_.back();
  stretches_.push_back({part, label, edge_s_, now});
  edge_s_ = now;
}

void Timeline::begin(Part part, std::string_view label, double) {
  close_stretch();
  if (part == Part::gemm && label == "output") peak_before_head_ = probe_.peak_allocated_bytes();
  open_.emplace_back(part, label);
}

void Timeline::end() noexcept {
  try {
    close_stretch();
  } catch (const std::exception&) {  // a device error stays, and is thrown by the next call that may throw
  }
  open_.pop_back();
}

ForwardProfile profile(const std::function<void(Communicator&, Observer&)>& forward, World& world, Communicator& comm,
                       DeviceProbe& probe) {
  Timeline timeline(probe);
  WatchedCommunicator watched(comm, world, timeline);
  probe.synchronize();
  probe.reset_peaks();
  const auto before = probe.allocated_bytes();
  world.barrier();
  timeline.start();
  forward(watched, timeline);
  timeline.stop();

  std::vector<double> numbers(part_count, 0.0);
  for (const auto& stretch : timeline.stretches()) {
    numbers[static_cast<std::size_t>(stretch.part)] += stretch.end_s - stretch.begin_s;
  }
  numbers.push_back(timeline.total_s());
  const auto mean = mean_over_ranks(world, numbers);
  ForwardProfile result{.total_s = mean.back(),
                        .peak = probe.peak_split(),
                        .peak_bytes = probe.peak_allocated_bytes(),
                        .before_head_bytes = timeline.peak_before_head() - before,
                        .stretches = timeline.stretches()};
  std::copy_n(mean.begin(), part_count, result.parts_s.begin());
  return result;
}

}  // namespace tpsp
