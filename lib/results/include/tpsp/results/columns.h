// The one table of output columns. Every writer and reader, `tpsp-bench columns` and docs/columns.md come from it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tpsp/results/row.h"

namespace tpsp {

/// A cell's value; monostate is an empty cell. Lists appear in JSON Lines only.
using Value = std::variant<std::monostate, std::int64_t, std::uint64_t, double, std::string, std::vector<std::string>,
                           std::vector<double>, std::vector<std::vector<double>>>;

/// Where a column is written.
enum class Detail {
  brief,  ///< everywhere, also in Markdown
  full,   ///< CSV and JSON Lines
  raw,    ///< JSON Lines only: lists and long texts
};
std::string_view to_string(Detail detail);

/// What a column's cells hold.
enum class Kind { text, integer, number, words, list };
std::string_view to_string(Kind kind);

/// What a column describes.
enum class Subject {
  the_case,     ///< what is measured: Case
  the_run,      ///< where and with what: Provenance, and what was made of the case's settings
  measurement,  ///< what came of it
};
std::string_view to_string(Subject subject);

/// What a column and its values were called in an earlier schema, and how a case was measured before it had the field.
struct Former {
  std::string name{};                                         ///< empty where it had this one
  std::vector<std::pair<std::string, std::string>> values{};  ///< (then, now)
  std::string absent{};                                       ///< of a case: the text that an empty cell is equal to
};

struct Column {
  std::string name;
  std::string unit;     ///< empty for text and plain counts
  std::string meaning;  ///< what the number is
  std::string source;   ///< where it comes from: an option, a clock, an allocator
  std::function<Value(const Row&)> get;
  /// Puts a value that was read from a file into the row: the column's own kind, or its text. Throws
  /// std::invalid_argument, saying why, for anything else. Empty for a column that can not be read back.
  std::function<void(Row&, const Value&)> set{};
  Detail detail = Detail::full;
  Kind kind = Kind::number;
  Subject subject = Subject::measurement;
  Former former{};
};

/// Every field of Row, in the order of the CSV. A new column is one line in columns.cpp, or one push_back by a caller.
std::vector<Column> standard_columns();

/// A value as CSV and Markdown write it: numbers with up to nine digits, lists separated by ';', nothing for an empty
/// one.
std::string text(const Value& value);

/// The page docs/columns.md for these columns.
std::string markdown(const std::vector<Column>& columns);

/// The description of the format as JSON: what `tpsp-bench columns --json` prints, and the file scripts/columns.json by
/// which the Python scripts read results.
std::string columns_json(const std::vector<Column>& columns);

/// What `tpsp-bench columns` prints: names, units and meanings within 80 columns.
std::string columns_help(const std::vector<Column>& columns);

}  // namespace tpsp
