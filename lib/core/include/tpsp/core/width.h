// Text for a terminal: truncated or wrapped to a width in characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

/// What output is made for.
inline constexpr std::size_t terminal_width = 80;

/// At most `width` characters (UTF-8), the last one an ellipsis where `text` is longer; control characters become '?'.
std::string shortened(std::string_view text, std::size_t width);

/// Characters of UTF-8 text.
std::size_t characters(std::string_view text);

/// `text` broken at spaces into lines of at most `width` characters; a longer word has a line of its own.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

}  // namespace tpsp
