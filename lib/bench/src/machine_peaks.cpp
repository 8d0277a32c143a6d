#include "tpsp/bench/machine_peaks.h"

#include <fmt/format.h>

#include <algorithm>

#include "out_of_memory.h"
#include "tpsp/bench/preview.h"

namespace tpsp {
namespace {

std::int64_t longest_of(const Sweep& sweep) { return *std::max_element(sweep.seqs.begin(), sweep.seqs.end()); }

// As long as four forwards on a core that does 100 GFLOP/s, half a second at most.
double seconds_for(const Sweep& sweep) {
  const auto flops = sweep.previews->of(sweep.plans.front(), sweep.batch, longest_of(sweep)).product_flops;
  return std::clamp(4 * flops / 1e11, 0.02, 0.5);
}

PeakSearch search_for(const Sweep& sweep) {
  PeakSearch search{.sizes = {}, .seconds_each = seconds_for(sweep), .backward = sweep.training.has_value()};
  for (const auto& [rows, columns] : weight_shapes(sweep.plans, sweep.dtype)) {
    search.sizes.push_back({.m = sweep.batch * longest_of(sweep), .n = rows, .k = columns});
  }
  return search;
}

void look_at_peak(Row& row, Peaks& peaks) {
  if (!row.peak_flops_per_s) return;
  const auto fraction = std::max(row.gemm_fraction.value_or(0), row.limit_fraction.value_or(0));
  if (fraction <= 1) return;
  row.warnings.push_back(
      {"peak-exceeded", fmt::format("it ran at {:.3f} of the peak that was measured before and after it, which is too "
                                    "low; let nothing else run beside the benchmark, and measure again",
                                    fraction)});
  peaks.gemm_flops_per_s = std::max(peaks.gemm_flops_per_s, fraction * *row.peak_flops_per_s);
}

void warn_of_drop(Row& row, double fraction_after) {
  constexpr double least = 0.95;
  if (!row.peak_flops_per_s || fraction_after >= least) return;
  row.warnings.push_back({"peak-dropped", fmt::format("right after it the machine reached {:.3f} of the peak measured "
                                                      "before; its clock fell or something else ran",
                                                      fraction_after)});
}

void set_against(Row& row, double peak_flops_per_s) {
  if (!row.peak_flops_per_s) return;
  const double part = *row.peak_flops_per_s / peak_flops_per_s;
  row.peak_flops_per_s = peak_flops_per_s;
  for (auto* cell : {&row.limit_s, &row.limit_fraction, &row.gemm_fraction}) {
    if (*cell) **cell *= part;
  }
}

}  // namespace

Peaks machine_peaks(const Sweep& sweep, World& world) {
  auto peaks = measure_peaks(sweep.dtype, sweep.device, search_for(sweep), [&] { world.barrier(); });
  const auto least = max_over_ranks(world, {-peaks.gemm_flops_per_s, -peaks.memory_bytes_per_s});
  peaks.gemm_flops_per_s = peaks.measured_flops_per_s = -least[0];
  peaks.memory_bytes_per_s = -least[1];
  return peaks;
}

void raise(Peaks& peaks, const Peaks& seen) {
  peaks.memory_bytes_per_s = std::max(peaks.memory_bytes_per_s, seen.memory_bytes_per_s);
  if (seen.gemm_flops_per_s <= peaks.gemm_flops_per_s) return;
  peaks.gemm_flops_per_s = seen.gemm_flops_per_s;
  peaks.gemm_kernel = seen.gemm_kernel;
  peaks.gemm_size = seen.gemm_size;
  peaks.measured_flops_per_s = seen.measured_flops_per_s;
}

double measure_again(const Sweep& sweep, World& world) {
  auto& peaks = *sweep.peaks;
  double mine = 0;
  world.barrier();
  const bool failed = any_runs_out_of_memory(world, [&] {
    mine = measure_gemm_rate(peaks.gemm_kernel, peaks.gemm_size, seconds_for(sweep), sweep.dtype, sweep.device);
  });
  if (failed) return 1;
  const auto slowest = -max_over_ranks(world, {-mine}).front();
  const auto fraction = slowest / peaks.measured_flops_per_s;
  peaks.measured_flops_per_s = std::max(peaks.measured_flops_per_s, slowest);
  peaks.gemm_flops_per_s = std::max(peaks.gemm_flops_per_s, slowest);
  return fraction;
}

void look_at_peaks(std::vector<Row>& rows, Peaks& peaks, double fraction_after) {
  for (Row& row : rows) set_against(row, peaks.gemm_flops_per_s);
  for (Row& row : rows) look_at_peak(row, peaks);
  for (Row& row : rows) set_against(row, peaks.gemm_flops_per_s);
  for (Row& row : rows) warn_of_drop(row, fraction_after);
}

}  // namespace tpsp
