// Where a run is: one line that is written over on a terminal, plain lines in a log.
#pragma once

#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <string_view>

namespace tpsp {

class Progress {
 public:
  enum class Kind {
    none,
    line,  ///< on stdout, which is a terminal
    log,   ///< a line for each length, through the logger
  };

  /// `work` is the run's total in any unit; row_done says how much of it a row was.
  Progress(Kind kind, int cases, double work, spdlog::logger& log);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `what` is measured, such as "tp and tp+sp at seq 256"; `done` repetitions of the phase are.
  void step(const std::string& what, std::string_view phase, int done);
  void row_done(double work);
  /// A case that needs no work.
  void left_out(double work);
  /// Takes the line off the terminal, so that something else can be printed there.
  void clear();

 private:
  std::string time_left() const;

  Kind kind_;
  int cases_;
  double work_;
  spdlog::logger& log_;
  int done_ = 0;
  double work_done_ = 0;
  std::size_t shown_ = 0;  ///< characters of the line on the terminal
  std::string last_logged_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "40 s", "3 min", "2 h 10 min"
std::string rough_duration(double seconds);

}  // namespace tpsp
