#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tpsp/core/width.h"
#include "tpsp/results/columns.h"

namespace tpsp {
namespace {

std::string escaped(const std::string& value) {
  std::string result;
  for (const char c : value) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

const char* files_with(Detail detail) {
  switch (detail) {
    case Detail::brief: return "all";
    case Detail::full: return "CSV, JSON Lines";
    case Detail::raw: return "JSON Lines";
  }
  return "";
}

}  // namespace

std::string markdown(const std::vector<Column>& columns) {
  std::string page =
      "# Output columns\n\n"
      "One row is one measured case. These are the columns of results files, from left to right; an empty cell was not "
      "measured.\n"
      "CSV has all but the lists and long texts, JSON Lines (one object a line, empty cells left out) has all, and "
      "Markdown the few that a person compares. In JSON Lines a number that is none is the text \"nan\", \"inf\" or "
      "\"-inf\".\n\n"
      "From Python, with texts that look like numbers (`key`, `case_id`) kept as texts:\n"
      "```python\n"
      "columns = json.load(open(\"scripts/columns.json\"))[\"columns\"]  # as tpsp-bench columns --json prints it\n"
      "texts = {name: str for name, column in columns.items() if column[\"kind\"] == \"text\"}\n"
      "rows = pandas.read_csv(\"tpsp-results.csv\", dtype=texts, keep_default_na=False, na_values=[\"\"])\n"
      "```\n\n"
      "This page is made from `lib/results/src/columns.cpp` and `case.cpp`, and a test of `test_results` compares "
      "them.\n"
      "After a change, `TPSP_UPDATE_EXPECTED=1 build/tests/test_results` writes this page anew.\n\n"
      "| column | unit | meaning | where the value comes from | files |\n"
      "|---|---|---|---|---|\n";
  for (const Column& column : columns) {
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} | {} |\n", column.name, escaped(column.unit),
                   escaped(column.meaning), escaped(column.source), files_with(column.detail));
  }
  return page;
}

std::string columns_help(const std::vector<Column>& columns) {
  std::size_t name_width = 0;
  std::size_t unit_width = 0;
  for (const Column& column : columns) {
    name_width = std::min<std::size_t>(24, std::max(name_width, column.name.size()));
    unit_width = std::min<std::size_t>(12, std::max(unit_width, column.unit.size()));
  }
  const std::size_t before_meaning = name_width + unit_width + 2;
  std::string help;
  for (const Column& column : columns) {
    std::string start = fmt::format("{:<{}} {:<{}} ", shortened(column.name, name_width), name_width,
                                    shortened(column.unit, unit_width), unit_width);
    for (const std::string& line : wrapped(column.meaning, terminal_width - before_meaning)) {
      help += start + line + '\n';
      start.assign(before_meaning, ' ');
    }
  }
  return help;
}

}  // namespace tpsp
