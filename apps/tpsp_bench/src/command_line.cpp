#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "settings.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr const char* about =
    "tpsp-bench: is tensor parallelism (TP) or tensor plus sequence parallelism (TP+SP)\n"
    "faster on this hardware, by how much, with what memory, and are the numbers right?";

constexpr const char* examples =
    "Examples:\n"
    "  mpirun -n 2 tpsp-bench                       tp and tp+sp, seq 256 512 1024\n"
    "  mpirun -n 2 tpsp-bench --sp --seq 1024       one plan, one length\n"
    "  tpsp-bench plan --plan tp+sp --world 8       what a plan will do, no MPI needed\n"
    "\n"
    "Options may also stand in the environment (TPSP_SEQ=256) and in --config.\n"
    "Exit codes: 0 ok, 2 bad input, 3 rows not ok, 4 check failed, 6 output failed.";

struct Flag {
  const char* name;
  const char* meaning;
  const char* group;
  std::vector<Command> commands;
};

const std::vector<Flag>& flag_table() {
  using enum Command;
  static const std::vector<Flag> table{
      {"tp", "short for --plan tp", "Case", {bench, plan}},
      {"sp", "short for --plan tp+sp", "Case", {bench, plan}},
      {"allow-unused-rules", "a rule that matches nothing is no error", "Case", {bench, plan}},
      {"verbose", "say more on stderr", "Output", {bench}},
      {"quiet", "no table, errors only", "Output", {bench}},
      {"json", "JSON instead of a table", "Output", {plan}},
  };
  return table;
}

bool serves(const std::vector<Command>& commands, Command command) {
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

/// Narrow columns, so that help fits in 80.
std::shared_ptr<CLI::Formatter> narrow_formatter() {
  auto formatter = std::make_shared<CLI::Formatter>();
  formatter->column_width(26);
  return formatter;
}

/// The options and flags of one command; values land in the two maps.
class Arguments {
 public:
  void add_to(CLI::App& app, Command command) {
    for (const auto& spec : option_table()) {
      if (serves(spec.commands, command)) add_option(app, spec);
    }
    for (const auto& flag : flag_table()) {
      if (!serves(flag.commands, command)) continue;
      app.add_flag(fmt::format("--{}", flag.name), flags_[flag.name], flag.meaning)->group(flag.group);
    }
    app.set_help_flag("-h,--help", "this text")->group("Output");
    app.formatter(narrow_formatter());
  }

  void take(CommandLine& line) const {
    for (const auto& [name, values] : values_) {
      if (!values.empty()) line.options[name] = {join(values, ","), "--" + name};
    }
    for (const auto& [name, given] : flags_) {
      if (given) line.flags[name] = true;
    }
  }

 private:
  void add_option(CLI::App& app, const OptionSpec& spec) {
    auto* option = app.add_option("--" + spec.name, values_[spec.name], spec.meaning);
    option->type_name(spec.metavar)->group(spec.group)->expected(1);
    if (!spec.fallback.empty()) option->default_str(spec.fallback);
    const auto policy = spec.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast;
    option->multi_option_policy(policy);
  }

  std::map<std::string, std::vector<std::string>> values_;
  std::map<std::string, bool> flags_;
};

std::string nearest_option(const std::string& message, Command command) {
  std::vector<std::string> names;
  for (const auto& spec : option_table()) {
    if (serves(spec.commands, command)) names.push_back("--" + spec.name);
  }
  for (const auto& flag : flag_table()) {
    if (serves(flag.commands, command)) names.push_back(fmt::format("--{}", flag.name));
  }
  for (const auto* command_name : {"plan", "info"}) names.emplace_back(command_name);
  const auto word = message.substr(message.rfind(' ') + 1);
  const auto near = nearest(word, names);
  return near ? fmt::format("did you mean '{}'?", *near) : "see tpsp-bench --help";
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  Arguments bench_arguments;
  Arguments plan_arguments;
  CLI::App app(about, "tpsp-bench");
  app.footer(examples);
  app.set_version_flag("--version", "tpsp-bench " TPSP_VERSION)->group("Output");
  bench_arguments.add_to(app, Command::bench);
  auto* plan = app.add_subcommand("plan", "What a plan will do: shapes, collectives, bytes, memory");
  plan_arguments.add_to(*plan, Command::plan);
  auto* info = app.add_subcommand("info", "What this build and machine are");
  info->formatter(narrow_formatter());
  app.require_subcommand(0, 1);

  const auto command = [&] {
    if (plan->parsed()) return Command::plan;
    return info->parsed() ? Command::info : Command::bench;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    line.output = (plan->parsed() ? plan : info->parsed() ? info : &app)->help();
  } catch (const CLI::CallForVersion& version) {
    line.output = std::string(version.what()) + "\n";
  } catch (const CLI::ParseError& error) {
    throw bad_input({.where = "tpsp-bench", .what = error.what(), .remedy = nearest_option(error.what(), command())});
  }
  line.command = command();
  (line.command == Command::plan ? plan_arguments : bench_arguments).take(line);
  return line;
}

}  // namespace tpsp
