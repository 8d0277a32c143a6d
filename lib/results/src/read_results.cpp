#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "formats.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

Error no_results(const std::filesystem::path& path, const std::string& why) {
  return bad_input({path.string(), "this is no file of results", why, "give a .csv or .jsonl file of tpsp-bench"});
}

/// The columns with a file's names, in its order; those that this program does not know are not read.
std::vector<Column> columns_named(const std::vector<std::string>& names, const std::vector<Column>& known) {
  std::vector<Column> columns;
  for (const std::string& name : names) {
    const auto place = std::find_if(known.begin(), known.end(), [&](const Column& column) {
      return column.name == name || (!column.former.name.empty() && column.former.name == name);
    });
    columns.push_back(place != known.end() ? *place : Column{name, {}, {}, {}, {}});
  }
  return columns;
}

std::vector<std::string> names_in(const std::string& header, const std::filesystem::path& path) {
  std::vector<std::string> names;
  try {
    names = csv_format({})->names(header);
  } catch (const std::invalid_argument& error) {
    throw no_results(path, fmt::format("its first line: {}", error.what()));
  }
  const std::set<std::string> different(names.begin(), names.end());
  if (different.size() != names.size()) throw no_results(path, "two of its columns have the same name");
  if (different.contains("schema")) return names;
  if (!different.contains("plan")) throw no_results(path, "its first line is " + quote(header));
  throw bad_input({path.string(), "these results have no column 'schema'", "made by an older tpsp-bench",
                   "measure again with this tpsp-bench"});
}

}  // namespace

std::vector<Row> read_results(const std::filesystem::path& path, const std::vector<Column>& columns) {
  const bool csv = path.extension() == ".csv";
  if (path.extension() == ".md") {
    throw bad_input({path.string(),
                     "Markdown holds too few columns to be read back",
                     {},
                     "give the .csv or .jsonl file of the same run"});
  }
  auto format = format_of(path, columns);
  const std::string content = read_file(path, largest_results);
  const bool marked = content.starts_with("\xEF\xBB\xBF");  // as spreadsheets write UTF-8
  const Lines lines = text_lines(marked ? content.substr(3) : content);
  if (csv) {
    if (lines.complete.empty()) throw no_results(path, "it has no complete line");
    format = csv_format(columns_named(names_in(lines.complete.front(), path), columns));
  }
  std::vector<Row> rows;
  for (std::size_t i = csv ? 1 : 0; i < lines.complete.size(); ++i) {
    if (!trim(lines.complete[i]).empty()) rows.push_back(row_at(*format, lines.complete[i], path, i + 1));
  }
  if (auto last = torn_row(*format, lines.torn, path, lines.complete.size() + 1)) rows.push_back(std::move(*last));
  return rows;
}

}  // namespace tpsp
