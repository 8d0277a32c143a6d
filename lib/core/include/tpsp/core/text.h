// Small text helpers: numbers, lists of sizes, nearest names, human-readable bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

/// Decimal digits only, all of `text`, in [min, max]. Throws bad_input naming `where` (an option or a file
/// position), the text, and the range. "1e3", "+5", "-1", "" and anything over 64 bits are refused.
std::int64_t parse_integer(std::string_view text, std::string_view where, std::int64_t min, std::int64_t max);

/// A decimal number ("2", "0.5", no exponent), all of `text`, in [min, max]. Errors as parse_integer.
double parse_real(std::string_view text, std::string_view where, double min, double max);

/// A list of sizes as llama-bench and nccl-tests write them: commas, `a..b*m` (a, a*m, ... up to b) and `a..b+s`.
/// "256,512", "256..4096*2". Order and repeats are kept. At most 1,000 values. Errors as parse_integer; an empty item
/// ("256,") is refused, spaces around an item are not.
std::vector<std::int64_t> parse_sizes(std::string_view text, std::string_view where, std::int64_t min,
                                      std::int64_t max);

/// Bytes as "48GB", "1.5 TB" (powers of 1000) or "80GiB" (of 1024), at least 1 and less than 2^60. Throws bad_input
/// naming `where`.
std::int64_t parse_bytes(std::string_view text, std::string_view where);

/// The candidate with the smallest edit distance to `name`, or nothing when none is close (distance over a third of
/// the longer name, but at least 2, or nothing in common).
std::optional<std::string> nearest(std::string_view name, std::span<const std::string> candidates);

/// "did you mean 'x'?" for the nearest candidate, else "the choices are a, b, c".
std::string suggest(std::string_view name, std::span<const std::string> candidates);

/// "1.25 GB" (powers of 1000, three digits), for tables.
std::string human_bytes(std::int64_t bytes);

/// "12.34 ms" (four digits; s, ms, us or ns), for tables.
std::string human_seconds(double seconds);

/// "1 layer", "2 layers"
std::string counted(std::int64_t number, std::string_view noun);

/// 41943040 -> "41,943,040".
std::string with_thousands(std::int64_t value);

/// `text` in single quotes for a message: control characters are escaped, anything over 60 bytes is truncated with an
/// ellipsis, so that no input can garble a terminal or a log.
std::string quote(std::string_view text);

/// `text` with U+FFFD for every byte that is no part of a UTF-8 character: names of files and hosts may be any bytes,
/// and JSON may not.
std::string valid_utf8(std::string_view text);

std::string join(std::span<const std::string> parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);

}  // namespace tpsp
