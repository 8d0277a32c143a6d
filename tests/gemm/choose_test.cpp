#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>

#include <chrono>

#include "support/thrown.h"
#include "tpsp/gemm/choose.h"
#include "tpsp/gemm/peaks.h"

using namespace tpsp;

TEST_CASE("each kernel gets a time, in the order of the question") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto kernels = packed_kernels(dtype, at::kCPU);
    const auto seconds = time_kernels(kernels, 32, 256, 512, dtype);
    REQUIRE(seconds.size() == kernels.size());
    for (const auto time : seconds) CHECK(time > 0);
  }
}

TEST_CASE("a product too large to try is timed in part, and its time is that of the whole") {
  at::set_num_threads(1);
  const auto start = std::chrono::steady_clock::now();
  const auto large = time_kernels({GemmKernel::plain}, 1 << 16, 1 << 14, 1 << 11, at::kFloat).front();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  const auto small = time_kernels({GemmKernel::plain}, 1 << 9, 1 << 11, 1 << 11, at::kFloat).front();
  CHECK(large / small == Approx(1024).epsilon(0.9));
  CHECK(large > taken.count());
}

TEST_CASE("there is no time for nothing") {
  CHECK_THAT(complaint_of([] { time_kernels({GemmKernel::plain}, 0, 4, 4, at::kFloat); }),
             Catch::Contains("no product of [0, 4] with [4, 4]"));
}

TEST_CASE("peaks are those of the best kernel, and are measured together") {
  at::set_num_threads(1);
  int calls = 0;
  const auto peaks = measure_peaks(at::kFloat, at::kCPU, [&] { ++calls; });
  CHECK(calls == 2);
  const auto plain = 2.0 * 512 * 2048 * 2048 / time_kernels({GemmKernel::plain}, 512, 2048, 2048, at::kFloat).front();
  CHECK(peaks.gemm_flops_per_s > 0.8 * plain);
  CHECK(peaks.gemm_flops_per_s < 1e13);
  CHECK(peaks.memory_bytes_per_s > 1e8);
  CHECK(peaks.memory_bytes_per_s < 1e13);
  CHECK_FALSE(peaks.gemm_kernel.empty());
}
