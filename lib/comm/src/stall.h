// A run that stands still: what each rank says of itself, and what follows from it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tpsp/core/activity.h"

namespace tpsp {

/// What a living rank says of itself.
struct RankReport {
  std::string phase{};  ///< "tp and tp+sp at seq 256, timing"
  Activity::Snapshot activity{};
  double idle_s = 0;      ///< without a step
  std::string failure{};  ///< what the transport says went wrong, if anything
};

/// As text and back. Throws std::exception for other text.
std::string text_of(const RankReport& report);
RankReport report_in(const std::string& text);

/// Where a rank is, for messages: "rank 3 on host-b (pid 4711)".
std::string name_of(int rank, const std::vector<std::string>& places);

/// "waits in reduce-scatter of layers.7.attention.wo (call 41)", "is in gemm of layers.7.feed_forward.w2", "is between
/// two steps, after norm of norm".
std::string words_of(const Activity::Snapshot& activity);

/// Who keeps the others waiting, one line: ranks that did not report, else a transport that failed, else ranks that
/// have not begun a call that others are in, else ranks that are in another call. `places` are all ranks' ("host-b (pid
/// 4711)"), `reports` those of the ranks that live.
std::string verdict_of(const std::map<int, RankReport>& reports, const std::vector<std::string>& places);

}  // namespace tpsp
