#include "settings.h"

#include <algorithm>
#include <cctype>

#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/core/text.h"
#include "tpsp/core/yaml.h"

namespace tpsp {
namespace {

constexpr std::size_t largest_config = 1 << 20;

std::string variable_of(const std::string& option) {
  std::string name = "TPSP_" + option;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  return name;
}

// A plan chosen by a stronger source, under any of its names, overrules all weaker ones.
bool chooses_plan(const CommandLine& line) {
  return line.options.contains("plan") || line.flags.contains("tp") || line.flags.contains("sp");
}

// One switch between the two plans, which job scripts of an older Python benchmark set.
std::optional<Setting> prior_switch() {
  constexpr const char* variable = "USE_SEQUENCE_PARALLELISM";
  auto value = environment(variable).value_or("");
  if (value.empty()) return std::nullopt;
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::vector<std::string> yes{"1", "true", "yes", "on"};
  const std::vector<std::string> no{"0", "false", "no", "off"};
  if (std::find(yes.begin(), yes.end(), value) != yes.end()) return Setting{"tp+sp", variable};
  if (std::find(no.begin(), no.end(), value) != no.end()) return Setting{"tp", variable};
  throw bad_input({.where = variable,
                   .what = quote(value) + " is neither true nor false",
                   .remedy = "write true for tp+sp, false for tp, or use --plan"});
}

}  // namespace

bool serves(const std::vector<Command>& commands, Command command) {
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

Settings::Settings(const CommandLine& line, const std::vector<YamlMap>& maps) : settings_(line.options) {
  if (chooses_plan(line)) {
    std::string plans;
    if (line.flags.contains("tp")) plans += ",tp";
    if (line.flags.contains("sp")) plans += ",tp+sp";
    if (line.options.contains("plan")) plans += "," + line.options.at("plan").text;
    settings_["plan"] = {plans.substr(1), "--plan"};
  }
  take_environment(line);
  for (const auto& map : maps) take_map(map, suite_keys());
  take_config();
  for (const auto& spec : option_table()) {
    if (!spec.fallback.empty() && serves(spec.commands, line.command))
      settings_.try_emplace(spec.name, Setting{spec.fallback, "default"});
  }
}

void Settings::take_environment(const CommandLine& line) {
  for (const auto& spec : option_table()) {
    const auto variable = variable_of(spec.name);
    const auto value = environment(variable.c_str());
    if (value && serves(spec.commands, line.command)) settings_.try_emplace(spec.name, Setting{*value, variable});
  }
  if (settings_.contains("plan")) return;
  if (const auto plan = prior_switch()) settings_.emplace("plan", *plan);
}

void Settings::take_config() {
  const auto file = settings_.find("config");
  if (file == settings_.end()) return;
  const auto path = file->second.text;
  const auto map = YamlMap::parse(read_file(path, largest_config), path);
  std::vector<std::string> known;
  for (const auto& spec : option_table()) {
    if (spec.name != "config") known.push_back(spec.name);
  }
  map.allow_only(known);
  take_map(map, map.keys());
}

void Settings::take_map(const YamlMap& map, const std::vector<std::string>& keys) {
  for (const auto& key : keys) {
    if (map.has(key)) settings_.try_emplace(key, Setting{map.scalar_or_list(key), map.where(key)});
  }
}

}  // namespace tpsp
