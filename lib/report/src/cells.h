// The cells of the terminal table as text, each as short as its field is wide.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/bench/row.h"

namespace tpsp {

/// At most `width` characters (UTF-8), the last one an ellipsis where `text` is longer; control characters become '?'.
std::string shortened(std::string_view text, std::size_t width);

/// `text` broken at spaces into lines of at most `width` bytes; a longer word has a line of its own.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

std::string latency_cell(const Row& row);  ///< "12.34 ms"
std::string range_cell(const Row& row);    ///< "12.1..12.9", fastest to slowest, in the unit of latency_cell
std::string tokens_cell(const Row& row);   ///< "83,012", "123.4k", "1.234M"
std::string check_cell(const Row& row);    ///< "pass 3e-07", "FAIL 2e-01", or the status of a row that is not ok

/// Nothing wrong with the row: its status is ok and its check did not fail.
bool is_good(const Row& row);

}  // namespace tpsp
