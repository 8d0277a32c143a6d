#include "tpsp/comm/watchdog.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "stall.h"
#include "tpsp/core/environment.h"

namespace tpsp {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr double look_every_s = 0.25;

void receive(SideChannel& channel, std::map<int, RankReport>& reports) {
  for (const auto& [rank, text] : channel.receive()) reports.insert_or_assign(rank, report_in(text));
}

// Whether one of them does something, and none has failed.
bool any_works(const std::map<int, RankReport>& reports, double timeout_s) {
  const bool failed =
      std::any_of(reports.begin(), reports.end(), [](const auto& one) { return !one.second.failure.empty(); });
  return !failed && std::any_of(reports.begin(), reports.end(),
                                [&](const auto& one) { return one.second.idle_s < timeout_s / 2; });
}

}  // namespace

Watchdog::Watchdog(World& world, StallActions actions, double grace_s)
    : actions_(std::move(actions)),
      grace_s_(grace_s),
      rank_(world.rank()),
      places_(world.exchange(fmt::format("{} (pid {})", host_name(), getpid()))),
      activity_(this_activity()),
      channel_(world.side_channel()) {
  if (world.size() == 1) return;
  thread_ = std::thread([this] {
    try {
      watch();
    } catch (const std::exception& error) {  // of MPI's, say: a rank that is not watched is no rank to wait for
      actions_.end(
          {.reports = {}, .verdict = fmt::format("{} can not be watched: {}", name_of(rank_, places_), error.what())});
    }
  });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_called_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::set_timeout(double seconds) {
  const std::lock_guard lock(mutex_);
  timeout_s_ = seconds;
}

void Watchdog::set_phase(std::string phase) {
  const std::lock_guard lock(mutex_);
  phase_ = std::move(phase);
}

Watchdog::Guard::Guard(Watchdog& watchdog, const ProcessGroup& group) : watchdog_(watchdog), group_(&group) {
  const std::lock_guard lock(watchdog_.mutex_);
  watchdog_.groups_.push_back(group_);
}

Watchdog::Guard::~Guard() {
  const std::lock_guard lock(watchdog_.mutex_);
  std::erase(watchdog_.groups_, group_);
}

// Whether there was nothing to stop for.
bool Watchdog::pause(double seconds) {
  std::unique_lock lock(mutex_);
  return !stop_called_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return stop_; });
}

double Watchdog::timeout_s() const {
  const std::lock_guard lock(mutex_);
  return timeout_s_;
}

std::string Watchdog::failure() const {
  const std::lock_guard lock(mutex_);
  for (const auto* group : groups_) {
    if (auto failure = group->failure()) return *failure;
  }
  return {};
}

RankReport Watchdog::report(double idle_s) const {
  RankReport mine{.activity = activity_.now(), .idle_s = idle_s, .failure = failure()};
  const std::lock_guard lock(mutex_);
  mine.phase = phase_;
  return mine;
}

// Counts its own looks as time: a process that was stopped and goes on has not been idle meanwhile.
void Watchdog::watch() {
  std::uint64_t steps = 0;
  double idle_s = 0;
  double ask_after_s = 0;  // beyond the timeout, since the others have been asked before
  for (auto last = SteadyClock::now(); pause(look_every_s);) {
    const auto now = SteadyClock::now();
    const bool was_stopped = std::chrono::duration<double>(now - last).count() > grace_s_;
    last = now;
    const auto steps_now = activity_.now().steps;
    idle_s = steps_now == steps ? idle_s + look_every_s : 0;
    if (steps_now != steps) ask_after_s = 0;
    steps = steps_now;
    Reports others;
    if (channel_) receive(*channel_, others);
    const auto limit_s = timeout_s();
    const bool stalled = limit_s > 0 && idle_s >= limit_s + ask_after_s;
    const auto mine = report(idle_s);
    if (!stalled && others.empty() && mine.failure.empty()) continue;
    if (!ask_others(mine, was_stopped, std::move(others))) return;
    ask_after_s = idle_s;
    last = SteadyClock::now();
  }
}

// Whether the run goes on. Each rank tells all others once, so that all judge by the same reports.
bool Watchdog::ask_others(const RankReport& mine, bool was_stopped, Reports reports) {
  constexpr double answer_s = 0.05;
  if (channel_) channel_->send(text_of(mine));
  reports.insert_or_assign(rank_, mine);
  for (double waited_s = 0; channel_ && reports.size() < places_.size() && waited_s < grace_s_; waited_s += answer_s) {
    if (!pause(answer_s)) return false;
    receive(*channel_, reports);
  }
  if (reports.size() == places_.size() && any_works(reports, timeout_s())) return true;
  end_run(reports, was_stopped);
  return false;
}

void Watchdog::end_run(const Reports& reports, bool was_stopped) {
  Stall stall;
  for (const auto& [rank, report] : reports) {
    stall.reports.push_back(fmt::format("{} {}; no progress for {:.0f} s, at: {}", name_of(rank, places_),
                                        words_of(report.activity), report.idle_s, report.phase));
  }
  stall.verdict = channel_ ? verdict_of(reports, places_)
                           : fmt::format("{} {}; this MPI lets no rank ask the others", name_of(rank_, places_),
                                         words_of(reports.at(rank_).activity));
  // What a rank heard after it was stopped itself says nothing of the others.
  if (reports.begin()->first == rank_ && !was_stopped) return actions_.end(stall);
  if (pause(grace_s_)) actions_.give_up();
}

}  // namespace tpsp
