#include "cells.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr const char* absent = "-";

bool continues_a_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// What a number of seconds is multiplied with to be in the unit that human_seconds gives `seconds`.
double scale_of(double seconds) {
  double scale = 1;
  while (seconds * scale < 0.99995 && scale < 1e9) scale *= 1000;
  return scale;
}

std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value >= 99.95 ? 0 : (value >= 9.995 ? 1 : 2));
}

std::string four_digits(double value) {
  return fmt::format("{:.{}f}", value, value >= 99.995 ? 1 : (value >= 9.9995 ? 2 : 3));
}

}  // namespace

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
      if (!line.empty() && line.size() + 1 + word.size() > width) lines.push_back(std::exchange(line, {}));
      if (!line.empty()) line += ' ';
      line += shortened(word, word.size());
    }
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string latency_cell(const Row& row) { return row.latency_s ? human_seconds(*row.latency_s) : absent; }

std::string range_cell(const Row& row) {
  if (!row.latency_s || !row.latency_min_s || !row.latency_max_s) return absent;
  const double scale = scale_of(*row.latency_s);
  return three_digits(*row.latency_min_s * scale) + ".." + three_digits(*row.latency_max_s * scale);
}

std::string tokens_cell(const Row& row) {
  if (!row.tokens_per_s || !std::isfinite(*row.tokens_per_s)) return absent;
  const double tokens = *row.tokens_per_s;
  if (tokens < 99'999.5) return with_thousands(std::llround(tokens));
  return tokens < 999'950 ? four_digits(tokens / 1e3) + "k" : four_digits(tokens / 1e6) + "M";
}

std::string check_cell(const Row& row) {
  switch (row.status) {
    case Status::failed: return "failed";
    case Status::out_of_memory: return "out of mem";
    case Status::skipped: return "skipped";
    case Status::ok: break;
  }
  if (row.check == Check::off) return "off";
  const std::string verdict = row.check == Check::pass ? "pass" : "FAIL";
  if (!row.max_rel_err) return verdict;
  return verdict + (*row.max_rel_err == 0 ? std::string(" 0") : fmt::format(" {:.0e}", *row.max_rel_err));
}

bool is_good(const Row& row) { return row.status == Status::ok && row.check != Check::fail; }

}  // namespace tpsp
