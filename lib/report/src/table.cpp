#include "tpsp/report/table.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <ostream>

#include "cells.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr std::size_t terminal_width = 80;
constexpr const char* bold = "\033[1m";
constexpr const char* dim = "\033[2m";
constexpr const char* red = "\033[31m";
constexpr const char* green = "\033[32m";
constexpr const char* reset = "\033[0m";

struct Field {
  const char* name;
  int width;
  bool left;
  std::string (*cell)(const Row&);
};

std::string bytes(const std::optional<std::int64_t>& value) { return value ? human_bytes(*value) : "-"; }

// The widths and one space between two fields make 80.
constexpr std::array fields = {
    Field{"plan", 10, true, [](const Row& row) { return shortened(row.plan, 10); }},
    Field{"seq", 6, false, [](const Row& row) { return std::to_string(row.seq); }},
    Field{"latency", 8, false, latency_cell},
    Field{"min..max", 10, false, range_cell},
    Field{"tok/s", 6, false, tokens_cell},
    Field{"alloc", 7, false, [](const Row& row) { return bytes(row.allocated_bytes); }},
    Field{"reserved", 8, false, [](const Row& row) { return bytes(row.reserved_bytes); }},
    Field{"sent", 7, false, [](const Row& row) { return bytes(row.comm_bytes); }},
    Field{"check", 10, true, check_cell},
};

std::string padded(const Field& field, const std::string& text) {
  return field.left ? fmt::format("{:<{}}", text, field.width) : fmt::format("{:>{}}", text, field.width);
}

std::string count(std::int64_t number, const char* noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

std::string what_is_measured(const Row& row) {
  return fmt::format("{} · {} · batch {} · {}", row.model, count(row.layers, "layer"), row.batch, row.dtype);
}

std::string where_it_runs(const Row& row) {
  const std::string device = row.device_name.empty() ? row.device : fmt::format("{} ({})", row.device, row.device_name);
  return fmt::format("{} · {} · {} each · {}", count(row.world, "rank"), row.backend, count(row.threads, "thread"),
                     device);
}

}  // namespace

std::string TablePrinter::styled(const std::string& text, const char* style) const {
  return color_ ? style + text + reset : text;
}

void TablePrinter::title(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) out_ << line << '\n';
  out_.flush();
  blank_line_due_ = !lines.empty();
}

void TablePrinter::heading(const Row& row) {
  const std::string first = shortened(what_is_measured(row), terminal_width);
  const std::string second = shortened(where_it_runs(row), terminal_width);
  std::string shared = first + '\n' + second;
  if (shared == shared_) return;
  shared_ = std::move(shared);
  std::string header;
  for (const Field& field : fields) header += (header.empty() ? "" : " ") + padded(field, field.name);
  header.erase(header.find_last_not_of(' ') + 1);
  if (blank_line_due_) out_ << '\n';
  out_ << styled(first, bold) << '\n' << styled(second, dim) << "\n\n" << styled(header, bold) << '\n';
  blank_line_due_ = true;
}

void TablePrinter::row(const Row& row) {
  heading(row);
  std::string line;
  for (const Field& field : fields) {
    if (&field == &fields.back()) break;
    line += padded(field, field.cell(row)) + ' ';
  }
  const std::string verdict = fields.back().cell(row);
  if (is_good(row)) {
    out_ << line << (row.check == Check::pass ? styled(verdict, green) : verdict) << '\n';
  } else {
    out_ << styled(line + verdict, red) << '\n';
    for (const std::string& part : wrapped(row.message, terminal_width - 4))
      out_ << "    " << styled(part, red) << '\n';
  }
  out_.flush();
}

}  // namespace tpsp
