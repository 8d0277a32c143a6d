// Where an option's value comes from: command line, then TPSP_* in the environment, then --config, then the default.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/core/yaml.h"

namespace tpsp {

enum class Command { bench, comm, plan, compare, report, merge, columns, info };

bool serves(const std::vector<Command>& commands, Command command);

/// One option that takes a value. All of them are in one table, `option_table`; one that means something else to
/// another command is there twice.
struct OptionSpec {
  std::string name;      ///< long name without its dashes, also the key in --config; TPSP_MIN_REPS for "min-reps"
  std::string metavar;   ///< how --help shows the value
  std::string fallback;  ///< the default; empty for none
  std::string meaning;
  std::string group;
  std::vector<Command> commands;
  bool repeatable = false;  ///< several values, separated by commas; otherwise the last one counts
  bool in_suite = false;    ///< may stand in a suite file
};
const std::vector<OptionSpec>& option_table();
/// The names of the options that may stand in a suite file.
std::vector<std::string> suite_keys();

/// A value as it was written, and what messages call the place it was written at: "--seq", "TPSP_SEQ", "my.yaml:3:6",
/// "default".
struct Setting {
  std::string text;
  std::string where;
};

/// The command line as parsed: which command, its options and flags.
struct CommandLine {
  Command command = Command::bench;
  std::map<std::string, Setting> options;  ///< those that were given
  std::map<std::string, bool> flags;       ///< those that were given: tp, sp, verbose, quiet, json, ...
  std::vector<std::string> files;          ///< arguments that are no options: of compare, report and merge
  std::string text;                        ///< as it was typed, from the program's name on
  std::optional<std::string> output;       ///< text for --help or --version, instead of running
};

/// Throws bad_input for options that do not exist, with the nearest that does.
CommandLine parse_command_line(int argc, const char* const* argv);

/// Every option's setting after precedence; those without a value or a default are absent.
class Settings {
 public:
  /// Reads the environment and the file that --config names. `maps` come between the two, the first counting most: a
  /// suite's case, and the suite itself. Throws bad_input for unknown keys in the file and for empty values.
  explicit Settings(const CommandLine& line, const std::vector<YamlMap>& maps = {});

  bool has(const std::string& name) const { return settings_.contains(name); }
  const Setting& at(const std::string& name) const { return settings_.at(name); }
  const std::map<std::string, Setting>& all() const { return settings_; }

 private:
  void take_environment(const CommandLine& line);
  void take_config();
  void take_map(const YamlMap& map, const std::vector<std::string>& keys);
  void require_values() const;

  std::map<std::string, Setting> settings_;
};

/// One switch between the two plans, which job scripts of an older Python benchmark set; true stands for tp+sp.
inline constexpr const char* prior_switch_variable = "USE_SEQUENCE_PARALLELISM";

/// A warning for each variable of the environment that is called as an option's and is none.
std::vector<std::string> unknown_variables();

}  // namespace tpsp
