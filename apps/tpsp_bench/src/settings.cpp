#include "settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/core/text.h"
#include "tpsp/core/yaml.h"

namespace tpsp {
namespace {

constexpr std::size_t largest_config = 1 << 20;

constexpr std::string_view variable_prefix = "TPSP_";

std::string variable_of(const std::string& option) {
  std::string name = std::string(variable_prefix) + option;
  const auto letter = [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); };
  std::transform(name.begin(), name.end(), name.begin(), letter);
  return name;
}

// What the tests read.
bool is_reserved(std::string_view variable) {
  return variable.starts_with("TPSP_TEST_") || variable == "TPSP_UPDATE_EXPECTED";
}

// A plan chosen by a stronger source, under any of its names, overrules all weaker ones.
bool chooses_plan(const CommandLine& line) {
  return line.options.contains("plan") || line.flags.contains("tp") || line.flags.contains("sp");
}

std::optional<Setting> prior_switch() {
  constexpr const char* variable = prior_switch_variable;
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
  require_values();
}

void Settings::require_values() const {
  for (const auto& [name, setting] : settings_) {
    if (!trim(setting.text).empty()) continue;
    throw bad_input({.where = setting.where, .what = "the value is empty", .remedy = "give one, or leave it out"});
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
  require_values();  // before an empty path is opened
  const auto map = YamlMap::parse(read_text(path, largest_config), path);
  std::set<std::string> known;  // one that means something else to another command is in the table twice
  for (const auto& spec : option_table()) known.insert(spec.name);
  known.erase("config");
  map.allow_only({known.begin(), known.end()});
  take_map(map, map.keys());
}

void Settings::take_map(const YamlMap& map, const std::vector<std::string>& keys) {
  for (const auto& key : keys) {
    if (map.has(key)) settings_.try_emplace(key, Setting{map.scalar_or_list(key), map.where(key)});
  }
}

std::vector<std::string> unknown_variables() {
  std::vector<std::string> options;  // without the prefix, which would make any two names similar
  for (const auto& spec : option_table()) options.push_back(variable_of(spec.name).substr(variable_prefix.size()));
  std::vector<std::string> warnings;
  for (const auto& variable : variables_with(variable_prefix)) {
    const auto option = variable.substr(variable_prefix.size());
    if (is_reserved(variable) || std::find(options.begin(), options.end(), option) != options.end()) continue;
    const auto near = nearest(option, options);
    const auto remedy =
        near ? fmt::format("did you mean '{}{}'?", variable_prefix, *near) : std::string("see tpsp-bench --help");
    warnings.push_back(fmt::format("{}: no option is called that, so it sets nothing; {}", quote(variable), remedy));
  }
  return warnings;
}

}  // namespace tpsp
