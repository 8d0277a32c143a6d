#include "tpsp/bench/trace.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

using Json = nlohmann::ordered_json;

constexpr double microseconds = 1e6;

Json event(const std::string& name, std::string_view category, double begin_s, double end_s, int rank) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"ts", begin_s * microseconds},
          {"dur", (end_s - begin_s) * microseconds},
          {"pid", 0},
          {"tid", rank}};
}

Json track_name(int rank) {
  return {{"name", "thread_name"},
          {"ph", "M"},
          {"pid", 0},
          {"tid", rank},
          {"args", {{"name", "rank " + std::to_string(rank) + " on " + host_name()}}}};
}

// One line an event: the forward as a whole, then its intervals, which lie within it.
std::string events_of(const std::string& name, const std::vector<PhaseInterval>& intervals, double shift_s, int rank) {
  if (intervals.empty()) return {};
  auto text =
      event(name, "forward", intervals.front().begin_s - shift_s, intervals.back().end_s - shift_s, rank).dump();
  for (const auto& [part, label, begin_s, end_s] : intervals) {
    text += '\n' + event(label, to_string(part), begin_s - shift_s, end_s - shift_s, rank).dump();
  }
  return text;
}

}  // namespace

double clock_offset_s(World& world) {
  constexpr int exchanges = 16;
  const auto hosts = world.exchange(host_name());
  double offset_s = 0;
  double quickest_s = std::numeric_limits<double>::infinity();
  for (int i = 0; i < exchanges; ++i) {
    const double begin_s = steady_clock_s();
    world.barrier();  // after it, rank 0's answer is later than begin_s
    const double first_rank_s = exchange_numbers(world, {steady_clock_s()}).front().front();
    const double end_s = steady_clock_s();
    if (end_s - begin_s >= quickest_s) continue;
    quickest_s = end_s - begin_s;
    offset_s = (begin_s + end_s) / 2 - first_rank_s;
  }
  return hosts.front() == host_name() ? 0 : offset_s;
}

void Trace::add(World& world, const std::string& name, const std::vector<PhaseInterval>& mine) {
  const double offset_s = clock_offset_s(world);
  std::string text;
  if (!zero_s_) {
    zero_s_ = exchange_numbers(world, {mine.empty() ? steady_clock_s() : mine.front().begin_s}).front().front();
    text = track_name(world.rank()).dump() + '\n';
  }
  text += events_of(name, mine, *zero_s_ + offset_s, world.rank());
  const auto all = world.exchange(text);
  if (world.rank() == 0) events_.insert(events_.end(), all.begin(), all.end());
}

std::string Trace::json() const {
  std::string text = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
  for (const auto& lines : events_) {
    for (const auto& line : split(lines, '\n')) {
      if (line.empty()) continue;
      if (text.back() == '}') text += ",\n";
      text += line;
    }
  }
  return text + "\n]}\n";
}

}  // namespace tpsp
