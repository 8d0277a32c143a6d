// Where an option's value comes from: command line, then TPSP_* in the environment, then --config, then the default.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

enum class Command { bench, plan, info };

/// One option that takes a value. All of them are in one table, `option_table`.
struct OptionSpec {
  std::string name;      ///< long name without dashes, also the key in --config and, upper-cased, of TPSP_NAME
  std::string metavar;   ///< how --help shows the value
  std::string fallback;  ///< the default; empty for none
  std::string meaning;
  std::string group;
  std::vector<Command> commands;
  bool repeatable = false;  ///< several values, joined with commas; otherwise the last one counts
};
const std::vector<OptionSpec>& option_table();

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
  std::map<std::string, bool> flags;       ///< those that were given: tp, sp, verbose, quiet, json, allow-unused-rules
  std::optional<std::string> output;       ///< text for --help or --version, instead of running
};

/// Throws bad_input for options that do not exist, with the nearest that does.
CommandLine parse_command_line(int argc, const char* const* argv);

/// Every option's setting after precedence; those without a value or a default are absent.
class Settings {
 public:
  /// Reads the environment and the file that --config names. Throws bad_input for unknown keys in it.
  explicit Settings(const CommandLine& line);

  bool has(const std::string& name) const { return settings_.contains(name); }
  const Setting& at(const std::string& name) const { return settings_.at(name); }
  const std::map<std::string, Setting>& all() const { return settings_; }

 private:
  void take_environment(const CommandLine& line);
  void take_config();

  std::map<std::string, Setting> settings_;
};

}  // namespace tpsp
