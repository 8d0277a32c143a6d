#include "tpsp/core/width.h"

#include <algorithm>
#include <utility>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

bool continues_a_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::size_t characters(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues_a_character));
}

std::string shortened(std::string_view text, std::size_t width) {
  std::string result;
  std::size_t characters = 0;
  std::size_t last_character = 0;  // where the character at `width` begins
  for (const char c : text) {
    if (!continues_a_character(c) && ++characters == width) last_character = result.size();
    const auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  if (characters <= width) return result;
  return result.substr(0, last_character) + "…";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  for (const std::string& paragraph : split(text, '\n')) {
    std::string line;
    for (const std::string& word : split(trim(paragraph), ' ')) {
      if (!line.empty() && characters(line) + 1 + characters(word) > width) lines.push_back(std::exchange(line, {}));
      if (!line.empty()) line += ' ';
      line += shortened(word, word.size());
    }
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

}  // namespace tpsp
