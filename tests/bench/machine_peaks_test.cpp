#include "tpsp/bench/machine_peaks.h"

#include "bench/small_sweeps.h"
#include "tpsp/bench/previews.h"

using namespace tpsp;

namespace {

Row row_with_peak(double gemm_fraction, double limit_fraction) {
  Row row;
  row.peak_flops_per_s = 1e9;
  row.gemm_fraction = gemm_fraction;
  row.limit_fraction = limit_fraction;
  return row;
}

}  // namespace

TEST_CASE("a row that is faster than the peak says so, and raises the peak for its group and the rows after it") {
  const auto [gemm_fraction, limit_fraction] = GENERATE(std::pair(1.06, 0.9), std::pair(0.9, 1.06));
  std::vector<Row> rows{row_with_peak(0.53, 0.5), row_with_peak(gemm_fraction, limit_fraction)};
  Peaks peaks{.gemm_flops_per_s = 1e9, .gemm_kernel = "plain"};
  look_at_peaks(rows, peaks, 1.0);
  CHECK(rows[0].warnings.empty());
  REQUIRE(rows[1].warnings.size() == 1);
  CHECK(rows[1].warnings.front().flag == "peak-exceeded");
  CHECK_THAT(rows[1].warnings.front().text, Catch::Contains("1.060"));
  CHECK(peaks.gemm_flops_per_s == Approx(1.06e9));
  for (const auto& row : rows) CHECK(row.peak_flops_per_s == peaks.gemm_flops_per_s);
  CHECK(rows[0].gemm_fraction.value() == Approx(0.5));
  CHECK(std::max(*rows[1].gemm_fraction, *rows[1].limit_fraction) == Approx(1));
}

TEST_CASE("a row within the peak, or without one, changes nothing") {
  std::vector<Row> rows{row_with_peak(1.0, 0.7), Row()};
  Peaks peaks{.gemm_flops_per_s = 1e9, .gemm_kernel = "plain"};
  look_at_peaks(rows, peaks, 1.0);
  for (const auto& row : rows) CHECK(row.warnings.empty());
  CHECK(rows[0].gemm_fraction == 1.0);
  CHECK_FALSE(rows[1].peak_flops_per_s);
  CHECK(peaks.gemm_flops_per_s == 1e9);
}

TEST_CASE("rows are set against the higher of the peaks before and after them, and a drop is a warning") {
  std::vector<Row> rows{row_with_peak(1.05, 0.8), Row()};
  Peaks risen{.gemm_flops_per_s = 1.1e9, .gemm_kernel = "plain"};
  look_at_peaks(rows, risen, 1.1);
  CHECK(rows[0].warnings.empty());
  CHECK(rows[0].gemm_fraction.value() == Approx(1.05 / 1.1));
  CHECK(rows[0].peak_flops_per_s == 1.1e9);

  Peaks held{.gemm_flops_per_s = 1.1e9, .gemm_kernel = "plain"};
  look_at_peaks(rows, held, 0.96);
  CHECK(rows[0].warnings.empty());
  look_at_peaks(rows, held, 0.9);
  REQUIRE(rows[0].warnings.size() == 1);
  CHECK(rows[0].warnings.front().flag == "peak-dropped");
  CHECK_THAT(rows[0].warnings.front().text, Catch::Contains("0.900"));
  CHECK(rows[1].warnings.empty());
}

TEST_CASE("the peak is measured again: a higher rate counts, a lower one is a fraction of it", "[timed]") {
  auto sweep = standard_sweep(1);
  sweep.previews = std::make_shared<Previews>(sweep.model, sweep.dtype, false);
  SerialWorld world;
  at::set_num_threads(1);
  sweep.peaks = std::make_shared<Peaks>(
      Peaks{.gemm_flops_per_s = 5, .gemm_kernel = "plain", .gemm_size = {64, 64, 64}, .measured_flops_per_s = 1});
  const auto rate = measure_again(sweep, world);
  CHECK(rate > 1e6);
  CHECK(sweep.peaks->gemm_flops_per_s == rate);
  CHECK(sweep.peaks->measured_flops_per_s == rate);

  sweep.peaks->gemm_flops_per_s = 1e16;
  sweep.peaks->measured_flops_per_s = 1e15;
  CHECK(measure_again(sweep, world) < 0.95);
  CHECK(sweep.peaks->gemm_flops_per_s == 1e16);
  CHECK(sweep.peaks->measured_flops_per_s == 1e15);
}

TEST_CASE("the best of what has been seen counts") {
  Peaks peaks{.gemm_flops_per_s = 5, .gemm_kernel = "plain", .memory_bytes_per_s = 7};
  raise(peaks, {.gemm_flops_per_s = 4, .gemm_kernel = "mkl", .memory_bytes_per_s = 8});
  CHECK(peaks.gemm_flops_per_s == 5);
  CHECK(peaks.gemm_kernel == "plain");
  CHECK(peaks.memory_bytes_per_s == 8);
  raise(peaks, {.gemm_flops_per_s = 6, .gemm_kernel = "mkl", .memory_bytes_per_s = 0});
  CHECK(peaks.gemm_flops_per_s == 6);
  CHECK(peaks.gemm_kernel == "mkl");
}
