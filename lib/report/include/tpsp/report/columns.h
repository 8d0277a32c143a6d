// The one table of output columns. The CSV, its header and docs/columns.md come from it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tpsp/bench/row.h"

namespace tpsp {

struct Column {
  std::string name;
  std::string unit;     ///< empty for text and plain counts
  std::string meaning;  ///< what the number is
  std::string source;   ///< where it comes from: an option, a clock, an allocator
  std::function<std::string(const Row&)> cell;
};

/// Every field of Row, in the order of the CSV. A new column is one line in columns.cpp, or one push_back by a caller.
std::vector<Column> standard_columns();

/// The page docs/columns.md for these columns.
std::string markdown(const std::vector<Column>& columns);

}  // namespace tpsp
