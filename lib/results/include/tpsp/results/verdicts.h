// Which plan is faster: every pair of plans of one case, in columns and in words.
#pragma once

#include <string>
#include <vector>

#include "tpsp/results/row.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

/// Two plans of one case; `ratio` is plan's time over baseline's.
struct PlanVerdict {
  std::string plan;
  std::string baseline;
  std::int64_t seq = 0;
  Ratio ratio;
  std::string subject{};     ///< "llama-7b · 2 layers · batch 2 · fp32"
  bool across_runs = false;  ///< the two were measured in different runs, whose times differ by more than the interval
};

/// "tp+sp against tp at seq 256: same, 1.003 of its time (95%: 0.991 to 1.011)", with the interval of the ratio
std::string in_words(const PlanVerdict& verdict);

/// Sets the columns baseline, ratio, ratio_low, ratio_high and verdict.
void fill(Row& row, const PlanVerdict& verdict);
/// Empties them.
void clear_verdict(Row& row);

/// Rows as they are measured, and what each new one says about those before it. Rows are of one case where case_id is
/// the same, and so are machine, build and versions: host, device_name, version, build, torch_version, mpi_version,
/// cuda_version and nccl_version.
class VerdictBook {
 public:
  /// Returns the verdicts of `row` against every plan of the same case that was measured before its own was, of several
  /// rows of one plan the last of the same run, else the last; and fills the columns of the verdict with the one
  /// against the first plan, which is the baseline of them all. Plans that were interleaved are compared pair by pair,
  /// others by their medians, those of different runs with margin_between_runs. Rows that are not ok have no verdicts.
  /// Of a collective the backends are compared, in the columns alone.
  std::vector<PlanVerdict> add(Row& row);

 private:
  std::vector<const Row*> partners(const Row& row) const;

  std::vector<Row> rows_;
};

}  // namespace tpsp
