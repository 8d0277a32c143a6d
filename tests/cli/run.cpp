#include "run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::string quoted(const std::string& text) { return "'" + text + "'"; }

// Hides what the caller of the tests has set and the program would read.
std::string hidden_variables() {
  std::string options;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    const auto name = std::string(variable.substr(0, variable.find('=')));
    const bool ours = name.starts_with("TPSP_") || name == "USE_SEQUENCE_PARALLELISM" || name == "NO_COLOR";
    if (ours) options += " -u " + name;
  }
  return options;
}

std::string command_of(const std::string& arguments, const Start& start) {
  std::string command = "env" + hidden_variables();
  for (const auto& [name, value] : std::map<std::string, std::string>{{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                                                      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                                                      {"TPSP_DEVICE", "cpu"},
                                                                      {"TPSP_GEMM", "plain"},
                                                                      {"TPSP_PEAKS", "off"},
                                                                      {"TPSP_THREADS", "1"},
                                                                      {"XDG_CACHE_HOME", "cache"}}) {
    if (!start.environment.contains(name)) command += " " + name + "=" + value;
  }
  for (const auto& [name, value] : start.environment) command += " " + name + "=" + quoted(value);
  if (start.ranks > 0) command += " mpirun -n " + std::to_string(start.ranks) + " --oversubscribe";
  return command + " " + quoted(start.program) + " " + arguments;
}

// The cells of one line; a quoted cell may hold commas and doubled quotes.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells{""};
  bool in_quotes = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool doubled = in_quotes && line[i] == '"' && i + 1 < line.size() && line[i + 1] == '"';
    if (doubled) {
      cells.back() += line[++i];
    } else if (line[i] == '"') {
      in_quotes = !in_quotes;
    } else if (line[i] == ',' && !in_quotes) {
      cells.emplace_back();
    } else {
      cells.back() += line[i];
    }
  }
  return cells;
}

std::string transcript(const std::string& command, const Outcome& outcome) {
  return "run: " + command + "\nexit code " + std::to_string(outcome.code) + "\n" + outcome.out + outcome.err;
}

std::size_t characters(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

Outcome run_command(const TemporaryFolder& folder, const std::string& command) {
  const auto out = folder / ".stdout";
  const auto err = folder / ".stderr";
  const auto line = "cd " + quoted((folder / "").string()) + " && timeout -k 5 60 " + command + " >" +
                    quoted(out.string()) + " 2>" + quoted(err.string()) + " </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(out), text_of(err)};
}

Run::Run(const TemporaryFolder& folder, const std::string& arguments, const Start& start)
    : outcome_(run_command(folder, command_of(arguments, start))),
      transcript_(Catch::MessageBuilder("INFO", CATCH_INTERNAL_LINEINFO, Catch::ResultWas::Info)
                  << transcript(command_of(arguments, start), outcome_)) {}

std::string text_of(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void write_text(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  for (const auto& line : lines_of(text)) widest = std::max(widest, characters(line));
  return widest;
}

std::vector<Record> read_csv(const std::filesystem::path& path) {
  const auto lines = lines_of(text_of(path));
  REQUIRE(!lines.empty());
  const auto names = cells_of(lines.front());
  std::vector<Record> records;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto cells = cells_of(lines[i]);
    REQUIRE(cells.size() == names.size());
    auto& record = records.emplace_back();
    for (std::size_t k = 0; k < names.size(); ++k) record[names[k]] = cells[k];
  }
  return records;
}

void set_first_cell(const TemporaryFolder& folder, const std::string& from, const std::string& to,
                    const std::string& column, const std::string& value) {
  const auto script = "import csv\nrows=list(csv.DictReader(open('" + from + "')))\nrows[0]['" + column + "']='" +
                      value + "'\nw=csv.DictWriter(open('" + to +
                      "','w'),rows[0].keys(),lineterminator='\\n')\nw.writeheader()\nw.writerows(rows)\n";
  write_text(folder / "set.py", script);
  REQUIRE(run_command(folder, "'" TPSP_PYTHON "' set.py").code == 0);
}

std::int64_t integer(const Record& record, const std::string& column) {
  return parse_integer(record.at(column), column, 0, INT64_MAX);
}

std::string complaint(const Run& run) {
  const std::string prefix = "tpsp-bench: error: ";
  std::vector<std::string> complaints;
  for (const auto& line : lines_of(run.err())) {
    if (line.starts_with(prefix)) complaints.push_back(line.substr(prefix.size()));
  }
  CHECK(run.err().find("what():") == std::string::npos);
  CHECK(run.err().find("frame #") == std::string::npos);
  REQUIRE(complaints.size() == 1);
  return complaints.front();
}

}  // namespace tpsp
