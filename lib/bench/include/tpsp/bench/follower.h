// Who follows a sweep, of forwards or of collectives.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tpsp/bench/time_breakdown.h"
#include "tpsp/bench/trace.h"
#include "tpsp/results/row.h"

namespace tpsp {

/// What a sweep is doing.
struct Step {
  std::string what;        ///< "tp and tp+sp at seq 256"
  std::string_view phase;  ///< "weights", "warm-up", "timing", "profile", "check"
  int done = 0;            ///< repetitions of the phase
};

/// "tp and tp+sp at seq 256, timing, 5 done".
std::string text_of(const Step& step);

/// Called on every rank; none needed but `row`.
struct Follower {
  std::function<void(const Row&)> row;                    ///< each row as soon as it is known
  std::function<void(const Step&)> step{};                ///< before each step
  std::function<bool(const std::string& key)> is_done{};  ///< cases that need no row; the same on all ranks
  std::function<void(const Row&)> left_out{};             ///< each such case that is not measured, as an empty row
  std::function<bool()> should_stop{};  ///< asked before each case or length: whether to leave it and the rest out; the
                                        ///< same on all ranks
  Trace* trace = nullptr;               ///< gets the profiled forwards
  TimeBreakdown* breakdown = nullptr;
};

}  // namespace tpsp
