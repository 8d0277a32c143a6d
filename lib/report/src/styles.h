// Escape sequences of a terminal.
#pragma once

#include <string>

namespace tpsp {

inline constexpr const char* bold = "\033[1m";
inline constexpr const char* dim = "\033[2m";
inline constexpr const char* red = "\033[31m";
inline constexpr const char* green = "\033[32m";

inline std::string styled(const std::string& text, const char* style, bool color) {
  return color ? style + text + "\033[0m" : text;
}

}  // namespace tpsp
