// The three formats of results files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/results/results.h"

namespace tpsp {

std::unique_ptr<Format> csv_format(std::vector<Column> columns);
std::unique_ptr<Format> jsonl_format(std::vector<Column> columns);
std::unique_ptr<Format> markdown_format(std::vector<Column> columns);

/// Those that are written with `detail`: raw means all, brief the fewest.
std::vector<Column> with_detail(const std::vector<Column>& columns, Detail detail);
std::vector<std::string> names_of(const std::vector<Column>& columns);

/// Sets one field; what is wrong with the value is said with the column's name.
void put(Row& row, const Column& column, const Value& value);
/// The row of as many texts as there are columns; an empty text is an empty cell.
Row row_of(const std::vector<std::string>& cells, const std::vector<Column>& columns);

/// A value's text with control characters as spaces.
std::string cell_text(const Value& value);

/// The largest results file that is read.
inline constexpr std::size_t largest_results = std::size_t{1} << 30;

/// The lines of a file without their line ends (LF or CRLF).
struct Lines {
  std::vector<std::string> complete;
  std::string torn;  ///< what follows the last line feed
};
Lines text_lines(const std::string& content);

/// The row of a line of a file; throws bad_input, which names both, where it is none.
Row row_at(const Format& format, const std::string& line, const std::filesystem::path& path, std::size_t number);
/// The row of a last line without a line feed; nothing where a part is missing.
std::optional<Row> torn_row(const Format& format, const std::string& line, const std::filesystem::path& path,
                            std::size_t number);

}  // namespace tpsp
