#include "tpsp/results/verdicts.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "tpsp/results/measured.h"
#include "tpsp/statistics/summary.h"

namespace tpsp {
namespace {

bool same_machine_and_build(const Row& a, const Row& b) {
  const auto facts = [](const Row& row) {
    return std::tie(row.host, row.device_name, row.version, row.build, row.torch_version, row.mpi_version,
                    row.cuda_version, row.nccl_version);
  };
  return facts(a) == facts(b);
}

bool are_interleaved(const Row& row, const Row& other) {
  return !row.turns.empty() && row.run_id == other.run_id && row.turns == other.turns && !row.samples_s.empty() &&
         row.samples_s.size() == other.samples_s.size();
}

Ratio ratio_of(const Row& row, const Row& baseline) {
  if (are_interleaved(row, baseline)) return ratio_of_pairs(row.samples_s, baseline.samples_s);
  if (row.run_id == baseline.run_id) return ratio_of_medians(median_of(row), median_of(baseline));
  return ratio_of_medians(median_of(row), median_of(baseline), margin_between_runs);
}

// What is compared within a case: the plan, or a collective's backend.
const std::string& candidate(const Row& row) { return row.collective.empty() ? row.plan : row.backend; }

}  // namespace

void fill(Row& row, const PlanVerdict& verdict) {
  clear_verdict(row);
  row.baseline = verdict.baseline;
  row.ratio = verdict.ratio.value;
  if (verdict.ratio.interval) {
    row.ratio_low = verdict.ratio.interval->low;
    row.ratio_high = verdict.ratio.interval->high;
  }
  row.verdict = to_string(verdict.ratio.verdict);
}

void clear_verdict(Row& row) {
  row.baseline.clear();
  row.verdict.clear();
  row.ratio = row.ratio_low = row.ratio_high = std::nullopt;
}

std::string in_words(const PlanVerdict& verdict) {
  const auto& interval = verdict.ratio.interval;
  const std::string sure =
      interval ? fmt::format("{:.0f}%: {:.3f} to {:.3f}", confidence * 100, interval->low, interval->high)
               : "too few repetitions";
  return fmt::format("{} against {} at seq {}: {}, {:.3f} of its time ({}{})", verdict.plan, verdict.baseline,
                     verdict.seq, to_string(verdict.ratio.verdict), verdict.ratio.value, sure,
                     verdict.across_runs ? "; of two runs" : "");
}

std::vector<const Row*> VerdictBook::partners(const Row& row) const {
  std::vector<const Row*> partners;
  for (const Row& earlier : rows_) {
    if (earlier.case_id != row.case_id || !same_machine_and_build(earlier, row)) continue;
    const auto same = std::find_if(partners.begin(), partners.end(),
                                   [&](const Row* partner) { return candidate(*partner) == candidate(earlier); });
    if (same == partners.end()) {
      partners.push_back(&earlier);
    } else if (earlier.run_id == row.run_id || (*same)->run_id != row.run_id) {
      *same = &earlier;
    }
  }
  const auto own = std::find_if(partners.begin(), partners.end(),
                                [&](const Row* partner) { return candidate(*partner) == candidate(row); });
  partners.erase(own, partners.end());
  return partners;
}

std::vector<PlanVerdict> VerdictBook::add(Row& row) {
  if (!is_measured(row)) return {};
  std::vector<PlanVerdict> verdicts;
  for (const Row* partner : partners(row)) {
    verdicts.push_back({candidate(row), candidate(*partner), row.seq, ratio_of(row, *partner), what_is_measured(row),
                        row.run_id != partner->run_id});
  }
  if (!verdicts.empty()) fill(row, verdicts.front());
  rows_.push_back(row);
  if (!row.collective.empty()) verdicts.clear();
  return verdicts;
}

}  // namespace tpsp
