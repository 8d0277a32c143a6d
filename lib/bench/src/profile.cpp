#include "tpsp/bench/profile.h"

#include <fmt/format.h>

#include <algorithm>

namespace tpsp {
namespace {

std::vector<double> mean_of(const std::vector<std::vector<double>>& ranks) {
  std::vector<double> means(ranks.front().size(), 0.0);
  for (const auto& numbers : ranks) {
    for (std::size_t i = 0; i < means.size(); ++i) means[i] += numbers[i] / static_cast<double>(ranks.size());
  }
  return means;
}

}  // namespace

void Timeline::start() {
  intervals_.clear();
  open_.assign(1, {Phase::other, "repetition"});
  probe_.take_marks();  // of a repetition that an error ended
  start_s_ = steady_clock_s();
  probe_.mark();
}

void Timeline::stop() {
  close_interval();
  open_.clear();
  const auto edges = probe_.take_marks();
  for (std::size_t i = 0; i < intervals_.size(); ++i) {
    intervals_[i].begin_s = start_s_ + edges.at(i);
    intervals_[i].end_s = start_s_ + edges.at(i + 1);
  }
}

// What has passed since the last edge belongs to the innermost open phase. Time that the profiling itself takes,
// between reading the clock and the next work, falls on the phase that follows.
void Timeline::close_interval() {
  probe_.mark();
  const auto& [phase, label] = open_.back();
  intervals_.push_back({phase, label});
}

void Timeline::open(Phase phase, std::string label) {
  close_interval();
  probe_.open_range(label);
  open_.emplace_back(phase, std::move(label));
}

void Timeline::begin(const Event& event, World& ranks) {
  const auto kind = collective_of(event.transition);
  const bool first_of_head = event.phase == Phase::gemm && event.module == head_ && peak_before_head_ == 0;
  if (first_of_head) peak_before_head_ = probe_.peak_allocated_bytes();
  if (kind) {
    const auto label = fmt::format("{} {}", to_string(*kind), event.module);
    if (probe_.is_asynchronous()) return open(Phase::move, label);  // the host's barrier would tell nothing of it
    open(Phase::wait, label);
    ranks.barrier();
    close_interval();
    open_.back().first = Phase::move;
  } else if (event.transition == Transition::slice) {
    open(open_.back().first, open_.back().second);  // a view takes no time of its own
  } else {
    open(event.phase, std::string(event.module));
  }
}

void Timeline::end() noexcept {
  try {
    close_interval();
  } catch (const std::exception&) {  // a device error stays, and is thrown by the next call that may throw
  }
  probe_.close_range();
  open_.pop_back();
}

ForwardProfile profile(const std::function<void(Timeline&)>& repetition, const std::string& head, World& world,
                       DeviceProbe& probe) {
  Timeline timeline(probe, head);
  probe.synchronize();
  probe.reset_peaks();
  const auto before = probe.allocated_bytes();
  world.barrier();
  timeline.start();
  repetition(timeline);
  timeline.stop();

  std::vector<double> numbers(phase_count, 0.0);
  for (const auto& interval : timeline.intervals()) {
    numbers[static_cast<std::size_t>(interval.phase)] += interval.end_s - interval.begin_s;
  }
  numbers.push_back(timeline.total_s());
  const auto ranks = exchange_numbers(world, numbers);
  const auto mean = mean_of(ranks);
  ForwardProfile result{.total_s = mean.back(),
                        .peak = probe.peak_split(),
                        .peak_bytes = probe.peak_allocated_bytes(),
                        .before_head_bytes = timeline.peak_before_head() - before,
                        .intervals = timeline.intervals()};
  std::copy_n(mean.begin(), phase_count, result.phases_s.begin());
  for (const auto& one : ranks) {
    result.busy_s.push_back(one.back() - one[static_cast<std::size_t>(Phase::wait)] -
                            one[static_cast<std::size_t>(Phase::move)]);
  }
  return result;
}

}  // namespace tpsp
