#include "suite.h"

#include "settings.h"
#include "tpsp/core/configs.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

SuiteEntry entry_of(const YamlMap& own, const YamlMap& shared) {
  constexpr std::int64_t largest_world = 65536;
  own.allow_only(suite_keys());
  SuiteEntry entry{.maps = {own, shared}, .worlds = {}, .device = {}};
  for (const auto& map : {shared, own}) {
    if (map.has("device")) entry.device = map.text("device");
    if (!map.has("world")) continue;
    entry.worlds = parse_sizes(map.scalar_or_list("world"), map.where("world"), 1, largest_world);
  }
  return entry;
}

}  // namespace

Suite load_suite(const std::string& name_or_path) {
  const auto file = find_config("suites", name_or_path);
  const auto root = YamlMap::parse(file.text, file.source);
  auto known = suite_keys();
  known.emplace_back("cases");
  root.allow_only(known);
  Suite suite{.name = file.name, .entries = {}};
  for (const auto& map : root.maps("cases")) suite.entries.push_back(entry_of(map, root));
  if (suite.entries.empty()) {
    throw bad_input({.where = root.where("cases"), .what = "the suite has no cases", .remedy = "list at least one"});
  }
  return suite;
}

}  // namespace tpsp
