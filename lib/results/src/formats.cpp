#include "formats.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "values.h"

namespace tpsp {

std::unique_ptr<Format> format_of(const std::filesystem::path& path, std::vector<Column> columns) {
  const std::string ending = path.extension().string();
  if (ending == ".csv") return csv_format(with_detail(columns, Detail::full));
  if (ending == ".jsonl") return jsonl_format(std::move(columns));
  if (ending == ".md") return markdown_format(with_detail(columns, Detail::brief));
  throw bad_input({path.string(), "a results file's ending decides its format",
                   ending.empty() ? "there is none" : "there is no format for " + quote(ending),
                   "use .csv, .jsonl or .md"});
}

std::vector<Column> with_detail(const std::vector<Column>& columns, Detail detail) {
  std::vector<Column> result;
  std::copy_if(columns.begin(), columns.end(), std::back_inserter(result),
               [&](const Column& column) { return column.detail <= detail; });
  return result;
}

std::vector<std::string> names_of(const std::vector<Column>& columns) {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const Column& column : columns) names.push_back(column.name);
  return names;
}

void put(Row& row, const Column& column, const Value& value) {
  if (!column.set) return;
  try {
    column.set(row, value);
  } catch (const OtherSchema&) {
    throw;
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(column.name + ": " + error.what());
  }
}

Row row_of(const std::vector<std::string>& cells, const std::vector<Column>& columns) {
  if (cells.size() != columns.size()) {
    throw std::invalid_argument("it has " + std::to_string(cells.size()) + " cells for " +
                                std::to_string(columns.size()) + " columns");
  }
  Row row;
  for (std::size_t i = 0; i < cells.size(); ++i) put(row, columns[i], cells[i].empty() ? Value() : Value(cells[i]));
  return row;
}

std::string cell_text(const Value& value) {
  std::string result = text(value);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::replace_if(result.begin(), result.end(), is_control, ' ');
  return result;
}

Lines text_lines(const std::string& content) {
  Lines lines{.complete = split(content, '\n'), .torn = {}};
  lines.torn = std::move(lines.complete.back());
  lines.complete.pop_back();
  for (std::string& line : lines.complete) {
    if (line.ends_with('\r')) line.pop_back();
  }
  return lines;
}

Row row_at(const Format& format, const std::string& line, const std::filesystem::path& path, std::size_t number) {
  const std::string where = path.string() + ":" + std::to_string(number);
  try {
    return format.row(line);
  } catch (const OtherSchema& error) {
    throw bad_input({where, "the row's columns have another meaning", error.what(),
                     error.newer() ? "use a newer tpsp-bench" : "measure again with this tpsp-bench"});
  } catch (const std::invalid_argument& error) {
    throw bad_input({where, "this is no row of results", error.what(), "fix the line or remove it"});
  }
}

std::optional<Row> torn_row(const Format& format, const std::string& line, const std::filesystem::path& path,
                            std::size_t number) {
  if (trim(line).empty()) return std::nullopt;
  try {
    static_cast<void>(format.row(line));
  } catch (const OtherSchema&) {
    // Refused below, as in a complete line.
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
  return row_at(format, line, path, number);
}

}  // namespace tpsp
