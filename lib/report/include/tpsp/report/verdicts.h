// Which plan is faster: every pair of plans of one case, in columns and in words.
#pragma once

#include <string>
#include <vector>

#include "tpsp/bench/row.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

/// Two plans of one case; `ratio` is plan's time over baseline's.
struct PlanVerdict {
  std::string plan;
  std::string baseline;
  std::int64_t seq = 0;
  Ratio ratio;
  std::string subject{};  ///< "llama-7b · 2 layers · batch 2 · fp32"
};

/// "tp+sp against tp at seq 256: same, 1.003 of its time (95%: 0.991 to 1.011)", with the interval of the ratio
std::string in_words(const PlanVerdict& verdict);

/// Rows as they are measured, and what each new one says about those before it.
class VerdictBook {
 public:
  /// Returns the verdicts of `row` against every other plan of the same case (case_id) before it, of several rows of
  /// one plan the last of the same run, else the last; and fills baseline, ratio, ratio_low, ratio_high and verdict
  /// from the first. Rows that took turns are compared pair by pair, others by their medians. Rows that are not ok have
  /// no verdicts. Of a collective the backends are compared, in the columns alone.
  std::vector<PlanVerdict> add(Row& row);

 private:
  std::vector<const Row*> partners(const Row& row) const;

  std::vector<Row> rows_;
};

}  // namespace tpsp
