#include "tpsp/bench/machine_peaks.h"

#include "support/torch_and_catch.h"

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

TEST_CASE("a row that is faster than the peak says so, and raises the peak for the rows after it") {
  const auto [gemm_fraction, limit_fraction] = GENERATE(std::pair(1.06, 0.9), std::pair(0.9, 1.06));
  auto row = row_with_peak(gemm_fraction, limit_fraction);
  Peaks peaks{.gemm_flops_per_s = 1e9, .gemm_kernel = "plain"};
  look_at_peak(row, peaks);
  REQUIRE(row.warnings.size() == 1);
  CHECK(row.warnings.front().flag == "peak-exceeded");
  CHECK_THAT(row.warnings.front().text, Catch::Contains("1.060"));
  CHECK(peaks.gemm_flops_per_s == Approx(1.06e9));
}

TEST_CASE("a row within the peak, or without one, changes nothing") {
  auto within = row_with_peak(1.0, 0.7);
  Row without;
  Peaks peaks{.gemm_flops_per_s = 1e9, .gemm_kernel = "plain"};
  look_at_peak(within, peaks);
  look_at_peak(without, peaks);
  CHECK(within.warnings.empty());
  CHECK(without.warnings.empty());
  CHECK(peaks.gemm_flops_per_s == 1e9);
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
