#include "progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "tpsp/core/width.h"

namespace tpsp {
namespace {

std::string phase_text(std::string_view phase, int done) {
  const bool counted = phase == "warm-up" || phase == "timing";
  return counted ? fmt::format("{}, {} done", phase, done) : std::string(phase);
}

}  // namespace

std::string rough_duration(double seconds) {
  constexpr double minute = 60;
  constexpr long hour = 60;  // minutes
  if (seconds < 1.5 * minute) return fmt::format("{:.0f} s", std::ceil(seconds));
  const auto minutes = std::lround(seconds / minute);
  return minutes < hour ? fmt::format("{} min", minutes) : fmt::format("{} h {} min", minutes / hour, minutes % hour);
}

Progress::Progress(Kind kind, int cases, double work, spdlog::logger& log)
    : kind_(kind), cases_(cases), work_(work), log_(log) {}

std::string Progress::time_left() const {
  constexpr double enough = 0.05;  // small cases take longer than their work says
  if (work_done_ < enough * work_) return {};
  const double elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return fmt::format(", about {} left", rough_duration(elapsed_s / work_done_ * (work_ - work_done_)));
}

void Progress::step(const std::string& what, std::string_view phase, int done) {
  constexpr std::size_t narrow = 79;
  if (kind_ == Kind::none) return;
  const auto where = fmt::format("[{}/{}] {}", done_ + 1, cases_, what);
  if (kind_ == Kind::line) {
    const auto text = shortened(fmt::format("{}: {}{}", where, phase_text(phase, done), time_left()), narrow);
    std::cout << fmt::format("\r{:<{}}", text, shown_) << std::flush;
    shown_ = std::max(shown_, characters(text));
  } else if (where != last_logged_) {
    log_.info("{}{}", where, time_left());
    last_logged_ = where;
  }
}

void Progress::row_done(double work) {
  ++done_;
  work_done_ += work;
}

void Progress::left_out(double work) {
  --cases_;
  work_ -= work;
}

void Progress::clear() {
  if (shown_ == 0) return;
  std::cout << fmt::format("\r{:{}}\r", "", shown_) << std::flush;
  shown_ = 0;
}

}  // namespace tpsp
