#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "provenance.h"
#include "settings.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr const char* about =
    "tpsp-bench: is tensor parallelism (TP) or tensor plus sequence parallelism\n"
    "(TP+SP) faster on this hardware, by how much, with what memory, and are the\n"
    "numbers right?";

constexpr const char* examples =
    "Examples:\n"
    "  mpirun -n 2 tpsp-bench                       tp and tp+sp, seq 256 512 1024\n"
    "  mpirun -n 2 tpsp-bench --sp --seq 1024       one plan, one length\n"
    "  mpirun -n 2 tpsp-bench --suite smoke         a suite of cases, of twenty rows\n"
    "  mpirun -n 2 tpsp-bench comm --bytes 8M       the collectives alone\n"
    "  tpsp-bench plan --plan tp+sp --world 8       what a plan will do; needs no MPI\n"
    "  tpsp-bench compare before.jsonl after.jsonl  which cases became slower\n"
    "\n"
    "Options with a value may also stand in the environment (TPSP_SEQ=256,\n"
    "TPSP_MIN_REPS=5) and in --config.\n"
    "Exit codes: 0 ok, 1 a defect of tpsp-bench, 2 bad input, 3 rows not ok,\n"
    "4 check failed, 5 timed out, 6 output failed.";

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
      {"verbose", "say on stderr where each setting comes from", "Output", {bench, comm}},
      {"quiet", "no table, errors only", "Output", {bench, comm}},
      {"resume", "add the cases that the files lack", "Output", {bench, comm}},
      {"json", "JSON instead of a table", "Output", {plan, columns}},
      {"peaks", "measure GEMM and memory peaks, some seconds", "Machine", {info}},
  };
  return table;
}

/// Help that fits in 80 columns, with one blank line between groups.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(24); }

  std::string make_usage(const CLI::App* app, std::string name) const override {
    if (app->get_parent() != nullptr) return "\n" + CLI::Formatter::make_usage(app, std::move(name));
    return "\nUsage: mpirun -n RANKS tpsp-bench [OPTIONS]\n       tpsp-bench COMMAND [OPTIONS]\n";
  }
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    const auto text = CLI::Formatter::make_help(app, std::move(name), mode);
    return std::string(trim(CLI::detail::find_and_replace(text, "\n\n\n", "\n\n"))) + "\n";
  }
};

struct Subcommand {
  Command command;
  const char* name;
  const char* meaning;
  std::vector<const char*> files;  ///< names of the arguments that are no options
  bool repeats = false;            ///< the only one, as often as it is given
};

const std::vector<Subcommand>& subcommand_table() {
  static const std::vector<Subcommand> table{
      {Command::comm, "comm", "The collectives alone, by size, backend and buffer", {}},
      {Command::plan, "plan", "What a plan will do: shapes, collectives, bytes, memory", {}},
      {Command::compare, "compare", "Two results files: what became faster or slower", {"BEFORE", "AFTER"}},
      {Command::report, "report", "A results file as one page with tables and plots", {"RESULTS"}},
      {Command::merge, "merge", "Several results files as one, each case once", {"RESULTS"}, true},
      {Command::columns, "columns", "The columns of results files, their units and meaning", {}},
      {Command::info, "info", "What this build and machine are", {}},
  };
  return table;
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
  }

  void add_files(CLI::App& app, const std::vector<const char*>& names, bool repeats) {
    if (repeats) {
      app.add_option(names.front(), files_, "results files: .csv or .jsonl")->option_text("...")->required();
      return;
    }
    files_.resize(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      app.add_option(names[i], files_[i], "a results file: .csv or .jsonl")->option_text(" ")->required();
    }
  }

  void take(CommandLine& line) const {
    line.files = files_;
    for (const auto& [name, values] : values_) {
      if (!values.empty()) line.options[name] = {join(values, ","), "--" + name};
    }
    for (const auto& [name, given] : flags_) {
      if (given) line.flags[name] = true;
    }
  }

 private:
  void add_option(CLI::App& app, const OptionSpec& spec) {
    const auto* const gap = spec.meaning.ends_with('\n') ? "" : " ";
    const auto fallback = spec.fallback.empty() ? std::string() : fmt::format("{}(default: {})", gap, spec.fallback);
    const std::string letter = spec.name == "output" ? "-o," : "";
    auto* option = app.add_option(letter + "--" + spec.name, values_[spec.name], spec.meaning + fallback);
    // A second word after the option is not its value: "--model llama-7b plna" names no model.
    option->type_name(spec.metavar)->group(spec.group)->expected(1)->allow_extra_args(false);
    const auto policy = spec.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast;
    option->multi_option_policy(policy);
  }

  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> files_;
  std::map<std::string, bool> flags_;
};

/// What `word` was probably meant to be, among the commands and the options of `command`.
std::string nearest_argument(const std::string& word, Command command) {
  std::vector<std::string> names;
  for (const auto& spec : option_table()) {
    if (serves(spec.commands, command)) names.push_back("--" + spec.name);
  }
  for (const auto& flag : flag_table()) {
    if (serves(flag.commands, command)) names.push_back(fmt::format("--{}", flag.name));
  }
  for (const auto& subcommand : subcommand_table()) names.emplace_back(subcommand.name);
  const auto near = nearest(word, names);
  return near && *near != word ? fmt::format("did you mean '{}'?", *near) : "see tpsp-bench --help";
}

// The first word that nothing takes, an option before others: in "--sequ 256" it is not the number that is wrong.
void refuse_unknown(const std::vector<std::string>& unknown, Command command) {
  if (unknown.empty()) return;
  const auto option =
      std::find_if(unknown.begin(), unknown.end(), [](const auto& word) { return word.starts_with('-'); });
  const auto word = option == unknown.end() ? unknown.front() : *option;
  throw bad_input({.where = quote(word),
                   .what = option == unknown.end() ? "not expected here" : "there is no such option",
                   .remedy = nearest_argument(word.substr(0, word.find('=')), command)});
}

// The program's name and its arguments, quoted where a shell would want it.
std::string as_typed(int argc, const char* const* argv) {
  constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-_=/.,:*";
  std::string text = "tpsp-bench";
  for (int i = 1; i < argc; ++i) {
    const auto word = valid_utf8(argv[i]);
    const bool bare = !word.empty() && word.find_first_not_of(plain) == std::string::npos;
    text += bare ? " " + word : " '" + CLI::detail::find_and_replace(word, "'", "'\\''") + "'";
  }
  return text;
}

// `before` holds what stands before the name of a command: that command does not read it.
void refuse_options_before_command(const CommandLine& before, std::string_view command) {
  std::vector<std::string> names;
  for (const auto& entry : before.options) names.push_back(entry.first);
  for (const auto& entry : before.flags) names.push_back(entry.first);
  if (names.empty()) return;
  throw bad_input(
      {.where = "--" + names.front(),
       .what = fmt::format("stands before '{}', which would not see it", command),
       .remedy = fmt::format("write its options after it: tpsp-bench {} --{} ...", command, names.front())});
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  Arguments bench_arguments;
  CLI::App app(about, "tpsp-bench");
  app.formatter(std::make_shared<HelpFormatter>());
  app.allow_extras();
  std::map<std::string, Arguments> arguments;
  for (const auto& subcommand : subcommand_table()) {
    auto* const sub = app.add_subcommand(subcommand.name, subcommand.meaning);
    auto& its = arguments[subcommand.name];
    its.add_files(*sub, subcommand.files, subcommand.repeats);
    its.add_to(*sub, subcommand.command);
  }
  bench_arguments.add_to(app, Command::bench);
  app.set_version_flag("--version", "tpsp-bench " + program_version(), "the version")->group("Output");
  app.footer(examples);
  app.require_subcommand(0, 1);

  const auto& table = subcommand_table();
  const auto parsed = [&] {
    return std::find_if(table.begin(), table.end(), [&](const auto& sub) { return app.got_subcommand(sub.name); });
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    line.output = parsed() == table.end() ? app.help() : app.get_subcommand(parsed()->name)->help("tpsp-bench");
    return line;
  } catch (const CLI::CallForVersion& version) {
    line.output = std::string(version.what()) + "\n";
    return line;
  } catch (const CLI::ParseError& error) {
    throw bad_input({.where = "", .what = error.what(), .remedy = "see tpsp-bench --help"});
  }
  const auto subcommand = parsed();
  line.command = subcommand == table.end() ? Command::bench : subcommand->command;
  refuse_unknown(app.remaining(true), line.command);
  bench_arguments.take(line);
  line.text = as_typed(argc, argv);
  if (line.command == Command::bench) return line;
  refuse_options_before_command(line, subcommand->name);
  arguments.at(subcommand->name).take(line);
  return line;
}

}  // namespace tpsp
