// Where rows go: the files, a table on the terminal, the verdicts at the end.
#pragma once

#include <functional>
#include <optional>
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

  /// The rows that the files have already; empty on other ranks.
  std::vector<Row> done() const { return files_ ? files_->done() : std::vector<Row>(); }
  void title(const Row& prototype);
  /// The rows of `job` come next.
  void begin(const BenchJob& job) { job_ = &job; }
  void step(const SweepStep& step);
  /// A length of which the files have all `plans` rows.
  void leave_out(std::int64_t seq, std::size_t plans);
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
  const BenchJob* job_ = nullptr;
};

}  // namespace tpsp
