// The parts of text.h that read and write numbers.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr std::size_t max_sizes = 1000;

std::string range_text(std::int64_t min, std::int64_t max) {
  if (max == std::numeric_limits<std::int64_t>::max()) return fmt::format("of at least {}", min);
  return fmt::format("from {} to {}", min, max);
}

void push(std::vector<std::int64_t>& sizes, std::int64_t size, std::string_view where) {
  if (sizes.size() == max_sizes) {
    throw bad_input({std::string(where), fmt::format("over {} values", max_sizes), {}, "give a shorter list"});
  }
  sizes.push_back(size);
}

/// `item` is "a..b*m" or "a..b+s", and `dots` the place of its "..".
void push_range(std::vector<std::int64_t>& sizes, std::string_view item, std::size_t dots, std::string_view where,
                std::int64_t min, std::int64_t max) {
  const std::size_t step_sign = item.find_first_of("*+", dots);
  if (step_sign == std::string_view::npos) {
    throw bad_input({std::string(where),
                     quote(item) + " is a range without a step",
                     {},
                     "write a..b*m (256..4096*2) or a..b+s (256..1024+256)"});
  }
  const std::int64_t first = parse_integer(item.substr(0, dots), where, min, max);
  const std::int64_t last = parse_integer(item.substr(dots + 2, step_sign - dots - 2), where, min, max);
  const bool multiplies = item[step_sign] == '*';
  const std::int64_t step =
      parse_integer(item.substr(step_sign + 1), where, multiplies ? 2 : 1, std::numeric_limits<std::int64_t>::max());
  if (first > last) {
    throw bad_input(
        {std::string(where), quote(item) + " is a range that ends before it begins", {}, "put the smaller size first"});
  }
  if (multiplies && first == 0) {
    throw bad_input({std::string(where), quote(item) + " never grows", "0 times anything is 0", "begin at 1 or more"});
  }
  for (std::int64_t size = first;;) {
    push(sizes, size, where);
    if (multiplies ? size > last / step : last - size < step) break;
    size = multiplies ? size * step : size + step;
  }
}

}  // namespace

double parse_real(std::string_view text, std::string_view where, double min, double max) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  const bool number = error == std::errc() && rest == end && std::isfinite(value);
  if (number && value >= min && value <= max) return value;
  throw bad_input({std::string(where),
                   quote(text) + (number ? " is out of range" : " is not a number"),
                   {},
                   fmt::format("give a number from {:g} to {:g}", min, max)});
}

std::int64_t parse_integer(std::string_view text, std::string_view where, std::int64_t min, std::int64_t max) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (!digits) {
    throw bad_input({std::string(where),
                     quote(text) + " is not an integer",
                     {},
                     "write decimal digits, a number " + range_text(min, max)});
  }
  if (result.ec != std::errc() || value < min || value > max) {
    throw bad_input(
        {std::string(where), quote(text) + " is out of range", {}, "give a number " + range_text(min, max)});
  }
  return value;
}

std::vector<std::int64_t> parse_sizes(std::string_view text, std::string_view where, std::int64_t min,
                                      std::int64_t max) {
  std::vector<std::int64_t> sizes;
  for (const std::string& part : split(text, ',')) {
    const std::string_view item = trim(part);
    if (item.empty()) {
      throw bad_input({std::string(where),
                       "the list " + quote(text) + " has an empty item",
                       {},
                       "write sizes with one comma between two, such as 256,512"});
    }
    const std::size_t dots = item.find("..");
    if (dots == std::string_view::npos) {
      push(sizes, parse_integer(item, where, min, max), where);
    } else {
      push_range(sizes, item, dots, where, min, max);
    }
  }
  return sizes;
}

std::int64_t parse_bytes(std::string_view text, std::string_view where) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  constexpr std::array units = {Unit{"B", 1},
                                Unit{"kB", 1e3},
                                Unit{"KB", 1e3},
                                Unit{"MB", 1e6},
                                Unit{"GB", 1e9},
                                Unit{"TB", 1e12},
                                Unit{"KiB", 1024.},
                                Unit{"MiB", 1048576.0},
                                Unit{"GiB", 1073741824.0},
                                Unit{"TiB", 1099511627776.0}};
  constexpr double most = 1152921504606846976.0;  // 2^60
  const auto digits = text.find_first_not_of("0123456789.");
  const auto unit_text = digits == std::string_view::npos ? std::string_view("") : trim(text.substr(digits));
  double number = 0;
  const auto number_text = text.substr(0, digits);
  const auto [rest, error] =
      std::from_chars(number_text.data(), number_text.data() + number_text.size(), number, std::chars_format::fixed);
  for (const auto& unit : units) {
    const double bytes = number * unit.bytes;
    const bool whole = error == std::errc() && rest == number_text.data() + number_text.size();
    if (unit.name == unit_text && whole && bytes >= 1 && bytes < most) return static_cast<std::int64_t>(bytes);
  }
  throw bad_input({.where = std::string(where),
                   .what = quote(text) + " is no size of memory",
                   .remedy = "write a number and its unit, such as 48GB or 80GiB"});
}

std::string human_bytes(std::int64_t bytes) {
  constexpr std::array units = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = std::abs(static_cast<double>(bytes));
  std::size_t unit = 0;
  for (; value >= 999.5; ++unit) value /= 1000;  // 999.5 and more would be printed with four digits
  const int decimals = unit == 0 || value >= 99.95 ? 0 : (value >= 9.995 ? 1 : 2);
  return fmt::format("{}{:.{}f} {}", bytes < 0 ? "-" : "", value, decimals, units[unit]);
}

std::string human_seconds(double seconds) {
  constexpr std::array units = {"s", "ms", "us", "ns"};
  double value = seconds;
  std::size_t unit = 0;
  for (; value < 0.99995 && unit + 1 < units.size(); ++unit) value *= 1000;
  const int decimals = value >= 999.95 ? 0 : (value >= 99.995 ? 1 : (value >= 9.9995 ? 2 : 3));
  return fmt::format("{:.{}f} {}", value, decimals, units[unit]);
}

std::string with_thousands(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first_digit = value < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first_digit + 3;) digits.insert(i -= 3, ",");
  return digits;
}

std::string counted(std::int64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

}  // namespace tpsp
