// Two results files: which cases became faster or slower, or wrong.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/results/columns.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

/// The largest max_rel_err of a case in both files.
struct ErrorGrowth {
  double before = 0;
  double after = 0;
};

/// A case that both files have measured. Its rows of different runs (run_id) are repeated measurements.
struct RowPair {
  Row before;            ///< the last run's that was measured
  Row after;             ///< likewise
  double before_s = 0;   ///< the latency; of several runs the geometric mean
  double after_s = 0;    ///< likewise
  int runs_before = 1;   ///< that were measured
  int runs_after = 1;    ///< likewise
  int broken_after = 0;  ///< runs that were not measured, or failed the check
  Ratio ratio;           ///< after's time over before's: ratio_of_runs, of one run each ratio_of_medians
  std::optional<ErrorGrowth> error_growth{};  ///< where the numbers became worse
};

/// A case of both files that one of them has no measurement of.
struct UnmeasuredPair {
  Row before;
  Row after;
};

struct Comparison {
  std::vector<Column> matched_by;
  double margin = 0;
  std::vector<RowPair> pairs;
  std::vector<UnmeasuredPair> unmeasured;
  std::vector<Row> only_before;
  std::vector<Row> only_after;
  std::size_t broken_after = 0;    ///< rows that failed, or were not measured where the same case was before; and cases
                                   ///< that were measured before and have no row
  std::vector<std::string> notes;  ///< sentences on what should be known before the table is read
};

/// The columns that identify a case: model, layers, plan, batch, seq, collective, message_bytes,
/// buffer, world, dtype, device, backend, threads, seed.
std::vector<std::string> case_columns();

/// Pairs rows that are equal in the columns `by`. Without any it is case_columns() and, where rows of one file are
/// equal in these, the first of suite, order, weights, host, device_name, build, the versions and key in which they
/// differ; a note names one that is left out since it has no value that is in both files. Of several rows of one case
/// and run the last counts. `margin` as in ratio_of_medians and ratio_of_runs. Throws bad_input for a name in `by` that
/// is no column.
Comparison compare(const std::vector<Row>& before, const std::vector<Row>& after, const std::vector<Column>& columns,
                   const std::vector<std::string>& by, double margin);

/// Where max_rel_err is more than 1.35 times what it was, or than the unit roundoff of dtype where that is more; empty
/// elsewhere. Of rows of the same model, plan, sizes, dtype and seed.
std::optional<ErrorGrowth> error_growth(const Row& before, const Row& after);

}  // namespace tpsp
