// What a run's time went to: measured work, and the harness around it.
#pragma once

#include "tpsp/bench/clock.h"

namespace tpsp {

/// Seconds of this rank.
struct TimeBreakdown {
  double machine_s = 0;   ///< measuring the machine's peaks and kernels
  double weights_s = 0;   ///< making weights
  double forwards_s = 0;  ///< warm-up and timed forwards
  double profile_s = 0;   ///< the profiled passes
  double check_s = 0;     ///< the reference, and forwards compared with it
};

/// Adds the time of its own life to one entry of a breakdown.
class ScopedTimer {
 public:
  explicit ScopedTimer(double& entry_s) : entry_s_(entry_s) {}
  ~ScopedTimer() { entry_s_ += steady_clock_s() - begin_s_; }
  ScopedTimer(const ScopedTimer&) = delete;
  ScopedTimer& operator=(const ScopedTimer&) = delete;

 private:
  double& entry_s_;
  double begin_s_ = steady_clock_s();
};

}  // namespace tpsp
