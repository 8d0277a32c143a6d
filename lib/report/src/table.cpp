#include "tpsp/report/table.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <ostream>
#include <span>
#include <string_view>

#include "cells.h"
#include "styles.h"
#include "tpsp/core/text.h"
#include "tpsp/results/measured.h"

namespace tpsp {
namespace {

struct Field {
  const char* name;
  int width;
  bool left;
  std::string (*cell)(const Row&);
  const char* unit = "";  ///< below the name
};

std::string bytes(const std::optional<std::int64_t>& value) { return value ? human_bytes(*value) : "-"; }

// The widths and one space between two fields make 80.
constexpr std::array fields = {
    Field{"plan", 11, true, [](const Row& row) { return shortened(row.plan, 11); }},
    Field{"seq", 6, false, [](const Row& row) { return std::to_string(row.seq); }},
    Field{"latency", 8, false, latency_cell},
    Field{"±", 6, false, noise_cell},
    Field{"vs", 8, false, versus_cell},
    Field{"alloc", 7, false, [](const Row& row) { return bytes(row.allocated_bytes); }},
    Field{"reserved", 8, false, [](const Row& row) { return bytes(row.reserved_bytes); }},
    Field{"sent", 7, false, [](const Row& row) { return bytes(row.comm_bytes); }},
    Field{"check", 10, true, check_cell},
};

// Of a training step; what the forward saves is what the plans differ in.
constexpr std::array step_fields = [] {
  auto all = fields;
  for (auto& field : all) {
    if (field.name != std::string_view("reserved")) continue;
    field = {"saved", 8, false, [](const Row& row) { return bytes(row.saved_bytes); }};
  }
  return all;
}();

constexpr std::array comm_fields = {
    Field{"size", 11, false, [](const Row& row) { return std::to_string(row.message_bytes.value_or(0)); }, "(B)"},
    Field{"op", 14, true, [](const Row& row) { return shortened(row.collective, 14); }},
    Field{"type", 4, true, [](const Row& row) { return shortened(row.dtype, 4); }},
    Field{"backend", 7, true, [](const Row& row) { return shortened(row.backend, 7); }},
    Field{"buf", 4, true, [](const Row& row) { return row.buffer.substr(0, row.buffer == "registered" ? 3 : 4); }},
    Field{"time", 10, false, microseconds_cell, "(us)"},
    Field{"algbw", 7, false, [](const Row& row) { return gigabytes_cell(row.algbw_bytes_per_s); }, "(GB/s)"},
    Field{"busbw", 7, false, [](const Row& row) { return gigabytes_cell(row.busbw_bytes_per_s); }, "(GB/s)"},
    Field{"#wrong", 7, false, wrong_cell},
};

std::span<const Field> fields_of(const Row& row) {
  if (!row.collective.empty()) return comm_fields;
  return row.workload.empty() ? std::span<const Field>(fields) : std::span<const Field>(step_fields);
}

std::string padded(const Field& field, const std::string& text) {
  return field.left ? fmt::format("{:<{}}", text, field.width) : fmt::format("{:>{}}", text, field.width);
}

// A line of the header; nothing without words.
std::string header_line(std::span<const Field> line_fields, const char* Field::*words) {
  std::string line;
  for (const Field& field : line_fields) line += (line.empty() ? "" : " ") + padded(field, field.*words);
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// A row that shares its heading with others may be of another backend only where it says so itself.
std::string where_it_runs(const Row& row) {
  const std::string device = row.device_name.empty() ? row.device : fmt::format("{} ({})", row.device, row.device_name);
  const auto backend = row.collective.empty() ? row.backend + " · " : std::string();
  return fmt::format("{} · {}{} each · {}", counted(row.world, "rank"), backend, counted(row.threads, "thread"),
                     device);
}

}  // namespace

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
  const auto units = header_line(fields_of(row), &Field::unit);
  if (blank_line_due_) out_ << '\n';
  out_ << styled(first, bold, color_) << '\n'
       << styled(second, dim, color_) << "\n\n"
       << styled(header_line(fields_of(row), &Field::name), bold, color_) << '\n';
  if (!units.empty()) out_ << styled(units, dim, color_) << '\n';
  blank_line_due_ = true;
}

void TablePrinter::row(const Row& row) {
  heading(row);
  std::string line;
  const auto all = fields_of(row);
  for (const Field& field : all.first(all.size() - 1)) line += padded(field, field.cell(row)) + ' ';
  const auto& last = all.back();
  const std::string checked = last.left ? last.cell(row) : padded(last, last.cell(row));
  if (is_good(row)) {
    out_ << line << (row.check == Check::pass ? styled(checked, green, color_) : checked) << '\n';
  } else {
    out_ << styled(line + checked, red, color_) << '\n';
    indented(row.message, red);
  }
  if (row.predicted_s) {
    indented(fmt::format("predicted with collectives over {}: {}", row.link, human_seconds(*row.predicted_s)), dim);
  }
  warnings(row.warnings);
  out_.flush();
}

// Each text once: what holds for many rows is named again, not explained again.
void TablePrinter::warnings(const std::vector<Warning>& warnings) {
  std::vector<std::string> known;
  for (const auto& [flag, text] : warnings) {
    if (explained_.insert(flag + text).second) {
      indented(text.empty() ? flag : flag + ": " + text, dim);
    } else {
      known.push_back(flag);
    }
  }
  if (!known.empty()) indented(join(known, ", ") + ", as above", dim);
}

void TablePrinter::indented(const std::string& text, const char* style) {
  for (const std::string& line : wrapped(text, terminal_width - 4)) {
    out_ << "    " << styled(line, style, color_) << '\n';
  }
}

void TablePrinter::verdicts(const std::vector<PlanVerdict>& verdicts) {
  std::string subject;
  for (const PlanVerdict& verdict : verdicts) {
    if (verdict.subject != subject) {
      subject = verdict.subject;
      out_ << '\n' << styled(subject, bold, color_) << '\n';
    }
    for (const std::string& line : wrapped(in_words(verdict), terminal_width)) out_ << line << '\n';
  }
  out_.flush();
}

}  // namespace tpsp
