#include "stall.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

using Reports = std::map<int, RankReport>;

// The rank that is furthest, and so waits for the others; the lowest of several, one that is in a joint call first.
const RankReport& furthest(const Reports& reports) {
  const auto order = [](const auto& a, const auto& b) {
    const auto& left = a.second.activity;
    const auto& right = b.second.activity;
    const auto waits = [](const Activity::Snapshot& one) { return one.joint && !one.ended ? 1 : 0; };
    return std::pair(left.joint_calls, waits(left)) < std::pair(right.joint_calls, waits(right));
  };
  return std::max_element(reports.begin(), reports.end(), order)->second;
}

// The ranks of whom it holds, "rank 1 on a (pid 7) and rank 2 on b (pid 8)"; of many the first three.
template <typename Holds>
std::string names_where(const std::vector<std::string>& places, const Holds& holds) {
  constexpr std::size_t most = 3;
  std::vector<std::string> names;
  std::size_t others = 0;
  for (int rank = 0; rank < static_cast<int>(places.size()); ++rank) {
    if (!holds(rank)) continue;
    if (names.size() < most) {
      names.push_back(name_of(rank, places));
    } else {
      ++others;
    }
  }
  if (others > 0) names.push_back(counted(static_cast<std::int64_t>(others), "other rank"));
  return join(names, " and ");
}

std::string call_of(const RankReport& report) {
  return fmt::format("{} (call {})", report.activity.what, report.activity.joint_calls);
}

std::string others_words(const RankReport& waiting) {
  const auto& activity = waiting.activity;
  if (activity.joint && !activity.ended) return "the others wait in " + call_of(waiting);
  return "of the others one " + words_of(activity);
}

}  // namespace

std::string text_of(const RankReport& report) {
  const auto& activity = report.activity;
  const nlohmann::json json{
      {"phase", report.phase},   {"steps", activity.steps},  {"joint_calls", activity.joint_calls},
      {"what", activity.what},   {"ended", activity.ended},  {"joint", activity.joint},
      {"idle_s", report.idle_s}, {"failure", report.failure}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RankReport report_in(const std::string& text) {
  const auto json = nlohmann::json::parse(text);
  return {.phase = json.at("phase"),
          .activity = {.steps = json.at("steps"),
                       .joint_calls = json.at("joint_calls"),
                       .what = json.at("what"),
                       .ended = json.at("ended"),
                       .joint = json.at("joint")},
          .idle_s = json.at("idle_s"),
          .failure = json.at("failure")};
}

std::string name_of(int rank, const std::vector<std::string>& places) {
  return fmt::format("rank {} on {}", rank, places.at(static_cast<std::size_t>(rank)));
}

std::string words_of(const Activity::Snapshot& activity) {
  if (activity.what.empty()) return "has not begun";
  if (activity.ended) return "is between two steps, after " + activity.what;
  if (activity.joint) return fmt::format("waits in {} (call {})", activity.what, activity.joint_calls);
  return "is in " + activity.what;
}

std::string verdict_of(const Reports& reports, const std::vector<std::string>& places) {
  const auto& waiting = furthest(reports);
  const auto silent = names_where(places, [&](int rank) { return !reports.contains(rank); });
  if (!silent.empty()) {
    return fmt::format("{} did not answer: stopped, gone, or out of reach; {}", silent, others_words(waiting));
  }
  const auto failed =
      std::find_if(reports.begin(), reports.end(), [](const auto& one) { return !one.second.failure.empty(); });
  if (failed != reports.end()) {
    return fmt::format("{} reports {}, in {}", name_of(failed->first, places), failed->second.failure,
                       call_of(failed->second));
  }
  const auto& last = *std::min_element(reports.begin(), reports.end(), [](const auto& a, const auto& b) {
    return a.second.activity.joint_calls < b.second.activity.joint_calls;
  });
  const auto fewest = last.second.activity.joint_calls;
  if (fewest < waiting.activity.joint_calls) {
    const auto names = names_where(places, [&](int rank) { return reports.at(rank).activity.joint_calls == fewest; });
    return fmt::format("{} never entered {}: rank {} {}", names, call_of(waiting), last.first,
                       words_of(last.second.activity));
  }
  const auto other = std::find_if(reports.begin(), reports.end(),
                                  [&](const auto& one) { return one.second.activity.what != waiting.activity.what; });
  if (other != reports.end()) {
    return fmt::format("{} {}; {}", name_of(other->first, places), words_of(other->second.activity),
                       others_words(waiting));
  }
  return fmt::format("all ranks are in {}, which does not end", call_of(waiting));
}

}  // namespace tpsp
