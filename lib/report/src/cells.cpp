#include "cells.h"

#include <fmt/format.h>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr const char* absent = "-";

/// How a verdict is written between this plan and its baseline.
char sign_of(const std::string& verdict) {
  if (verdict == "faster") return '<';
  if (verdict == "slower") return '>';
  return verdict == "same" ? '=' : '?';
}

}  // namespace

std::string latency_cell(const Row& row) { return row.latency_s ? human_seconds(*row.latency_s) : absent; }

std::string microseconds_cell(const Row& row) {
  if (!row.latency_s) return absent;
  const double value = *row.latency_s * 1e6;
  return fmt::format("{:.{}f}", value, value < 99999.5 ? 2 : 0);
}

std::string gigabytes_cell(const std::optional<double>& bytes_per_s) {
  return bytes_per_s ? fmt::format("{:.{}f}", *bytes_per_s / 1e9, *bytes_per_s < 1e12 ? 2 : 0) : absent;
}

std::string wrong_cell(const Row& row) {
  if (row.wrong)
    return *row.wrong < 1'000'000 ? std::to_string(*row.wrong) : fmt::format("{:.0e}", static_cast<double>(*row.wrong));
  return row.status == Status::ok ? absent : check_cell(row);
}

std::string noise_cell(const Row& row) {
  if (!row.latency_s || !row.latency_low_s || !row.latency_high_s || *row.latency_s <= 0) return absent;
  const double percent = (*row.latency_high_s - *row.latency_low_s) / 2 / *row.latency_s * 100;
  return fmt::format("{:.{}f}%", percent, percent < 9.95 ? 1 : 0);
}

std::string versus_cell(const Row& row) {
  if (!row.ratio) return absent;
  return fmt::format("{} {}", sign_of(row.verdict), ratio_text(*row.ratio));
}

std::string ratio_text(double ratio) {
  if (ratio < 9.9995) return fmt::format("{:.3f}", ratio);
  if (ratio < 999.95) return fmt::format("{:.{}f}", ratio, ratio < 99.995 ? 2 : 1);
  return ratio < 99999.5 ? fmt::format("{:.0f}", ratio) : fmt::format("{:.0e}", ratio);
}

std::string check_cell(const Row& row) {
  switch (row.status) {
    case Status::failed: return "failed";
    case Status::out_of_memory: return "out of mem";
    case Status::skipped: return "skipped";
    case Status::ok: break;
  }
  if (row.check == Check::off) return "off";
  std::string verdict = row.check == Check::pass ? "pass" : "FAIL";
  if (!row.max_rel_err) return verdict;
  return verdict + (*row.max_rel_err == 0 ? std::string(" 0") : fmt::format(" {:.0e}", *row.max_rel_err));
}

}  // namespace tpsp
