// Where rows go: the files, a table on the terminal, the verdicts at the end.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "progress.h"
#include "tpsp/comm/world.h"
#include "tpsp/report/table.h"
#include "tpsp/results/results.h"
#include "tpsp/results/verdicts.h"

namespace tpsp {

struct OutputPlan {
  std::vector<std::filesystem::path> outs;
  bool resume = false;
  int rows = 0;     ///< to come
  double work = 0;  ///< of them all in any unit, to guess how long the rest takes
};

/// What rank 0 shows and writes; on other ranks it does nothing.
class Output {
 public:
  /// Opens the files. Throws Error(output_failed) or bad_input as ResultFiles does.
  Output(const OutputPlan& plan, const std::vector<Column>& columns, const World& world, bool quiet,
         spdlog::logger& log);

  /// The rows that the files have already; empty on other ranks.
  std::vector<Row> done() const { return files_ ? files_->done() : std::vector<Row>(); }
  void title(const Provenance& run);
  /// As Progress::step.
  void step(const std::string& what, std::string_view phase, int done);
  /// A row of so much work is in the files already.
  void leave_out(double work);
  /// Writes a row, unless there is one of its key, and prints it.
  void add(Row row, double work);
  void finish();

 private:
  void print(const std::function<void(TablePrinter&)>& what);

  std::vector<std::filesystem::path> outs_;
  std::optional<ResultFiles> files_;
  std::set<std::string> keys_;  ///< of the rows that are done or written
  std::optional<TablePrinter> table_;
  std::optional<Progress> progress_;
  VerdictBook book_;
  std::vector<PlanVerdict> verdicts_;
};

}  // namespace tpsp
