// Where rows go: the files, a table on the terminal, the verdicts at the end.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench_options.h"
#include "progress.h"
#include "tpsp/report/results.h"
#include "tpsp/report/table.h"
#include "tpsp/report/verdicts.h"

namespace tpsp {

/// What rank 0 shows and writes; on other ranks it does nothing.
class Output {
 public:
  /// Opens the files. Throws Error(output_failed) or bad_input as ResultFiles does.
  Output(const BenchOptions& options, const std::vector<Column>& columns, const World& world, bool quiet,
         spdlog::logger& log);

  /// Keys of the cases that the files have already.
  const std::set<std::string>& done() const { return done_; }
  void title(const Row& prototype);
  /// The rows of `job` come next.
  void begin(const BenchJob& job) { job_ = &job; }
  void step(const SweepStep& step);
  /// Writes a row, unless the files have it, and prints it.
  void add(Row row);
  void finish();

 private:
  void print(const std::function<void(TablePrinter&)>& what);

  std::vector<std::filesystem::path> outs_;
  std::optional<ResultFiles> files_;
  std::optional<TablePrinter> table_;
  std::optional<Progress> progress_;
  VerdictBook book_;
  std::vector<PlanVerdict> verdicts_;
  std::set<std::string> done_;
  const BenchJob* job_ = nullptr;
};

}  // namespace tpsp
