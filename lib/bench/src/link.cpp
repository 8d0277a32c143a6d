#include "tpsp/bench/link.h"

#include "tpsp/core/configs.h"
#include "tpsp/core/yaml.h"

namespace tpsp {

Link parse_link(const std::string& name, const std::string& source, std::string_view text) {
  constexpr double longest_s = 1;
  constexpr double slowest = 1e3;
  constexpr double fastest = 1e15;
  const auto map = YamlMap::parse(text, source);
  map.allow_only({"call-seconds", "step-seconds", "bytes-per-second", "source"});
  map.text("source");  // a figure from nowhere is none
  return {.name = name,
          .call_s = map.real("call-seconds", 0, longest_s),
          .step_s = map.real("step-seconds", 0, longest_s),
          .bytes_per_s = map.real("bytes-per-second", slowest, fastest)};
}

Link load_link(const std::string& name_or_path) {
  const auto config = find_config("links", name_or_path);
  return parse_link(config.name, config.source, config.text);
}

double seconds_of(const CommCounts& collectives, const Link& link, int ranks) {
  if (ranks == 1) return 0;
  const auto shuffles = static_cast<double>(collectives.all_gathers + collectives.reduce_scatters);
  const auto all_reduces = static_cast<double>(collectives.all_reduces);
  const auto steps = (2 * all_reduces + shuffles) * (ranks - 1);
  return (all_reduces + shuffles) * link.call_s + steps * link.step_s +
         static_cast<double>(collectives.bytes) / link.bytes_per_s;
}

}  // namespace tpsp
