#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "onednn_linear.h"
#include "support/thrown.h"
#include "timing.h"
#include "tpsp/gemm/choose.h"
#include "tpsp/gemm/peaks.h"

using namespace tpsp;

TEST_CASE("each kernel gets nine times, in the order of the question") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto kernels = packed_kernels(dtype, at::kCPU);
    const auto samples = time_kernels(kernels, LinearGemm::forward, {32, 256, 512}, dtype);
    REQUIRE(samples.size() == kernels.size());
    for (const auto& of_kernel : samples) {
      CHECK(of_kernel.size() == 9);
      CHECK(*std::min_element(of_kernel.begin(), of_kernel.end()) > 0);
    }
    for (const auto gemm : {LinearGemm::input_gradient, LinearGemm::weight_gradient}) {
      CHECK(time_kernels(plain_kernels(dtype, at::kCPU), gemm, {32, 256, 512}, dtype).size() ==
            plain_kernels(dtype, at::kCPU).size());
    }
  }
}

TEST_CASE("the part of a GEMM that is timed sums over all that the GEMM sums over") {
  constexpr ProductSize whole{.m = 2048, .n = 11008, .k = 4096};
  constexpr double flops = 1e9;
  CHECK((part_of(LinearGemm::forward, whole, flops) == ProductSize{512, 512, 4096}));
  CHECK((part_of(LinearGemm::input_gradient, whole, flops) == ProductSize{512, 11008, 512}));
  CHECK((part_of(LinearGemm::weight_gradient, whole, flops) == ProductSize{2048, 512, 512}));
  constexpr ProductSize small{.m = 3, .n = 50, .k = 40};
  for (const auto gemm : linear_gemms()) {
    CHECK(part_of(gemm, small, flops) == small);
  }
}

TEST_CASE("the peak of training steps is one of their GEMMs or a forward's, and is measured again by its name",
          "[timed]") {
  at::set_num_threads(1);
  const auto peaks =
      measure_peaks(at::kFloat, at::kCPU, {.sizes = {{64, 96, 96}}, .seconds_each = 0.02, .backward = true});
  CHECK(peaks.gemm_flops_per_s > 0);
  CHECK(measure_gemm_rate(peaks.gemm_kernel, peaks.gemm_size, 0.02, at::kFloat, at::kCPU) > 0);
  for (const auto kernel : plain_kernels(at::kFloat, at::kCPU)) {
    for (const auto gemm : {LinearGemm::input_gradient, LinearGemm::weight_gradient}) {
      const auto name = std::string(to_string(kernel)) + ":" + std::string(to_string(gemm));
      CHECK(measure_gemm_rate(name, {64, 96, 96}, 0, at::kFloat, at::kCPU) > 0);
    }
  }
}

namespace {

// The median of the plain kernel's times.
double usual_seconds(std::int64_t m, std::int64_t n, std::int64_t k) {
  auto samples = time_kernels({GemmKernel::plain}, LinearGemm::forward, {m, n, k}, at::kFloat).front();
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

}  // namespace

TEST_CASE("a GEMM too large to run is timed in part, and its time is scaled up", "[timed]") {
  at::set_num_threads(1);
  bool scaled = false;  // a disturbance of one measurement does not last
  for (int attempt = 0; attempt < 5 && !scaled; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    const auto large = usual_seconds(1 << 16, 1 << 14, 1 << 11);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    const auto small = usual_seconds(1 << 9, 1 << 11, 1 << 11);
    UNSCOPED_INFO("large " << large << " s, small " << small << " s, taken " << taken.count() << " s");
    scaled = large / small == Approx(1024).epsilon(0.9) && large > taken.count();
  }
  CHECK(scaled);
}

TEST_CASE("there is no time for nothing") {
  CHECK_THAT(complaint_of([] {
               time_kernels({GemmKernel::plain}, LinearGemm::forward, {0, 4, 4}, at::kFloat);
             }),
             Catch::Contains("no GEMM of [0, 4] with [4, 4]"));
}

namespace {

// The best of some calls, after a first.
double best_seconds_of(const std::function<void()>& call) {
  call();
  double best_s = 1e9;
  for (int i = 0; i < 50; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    best_s = std::min(best_s, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best_s;
}

}  // namespace

TEST_CASE("no kernel of LibTorch's is faster than the peak, whatever the size that was asked for", "[timed]") {
  const c10::InferenceMode no_gradients;
  at::set_num_threads(1);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const ProductSize size{.m = 64, .n = 256, .k = 256};
    const auto x = at::ones({size.m, size.k}, dtype);
    const auto w = at::ones({size.n, size.k}, dtype);
    std::vector<std::function<void()>> calls{[&] { at::linear(x, w); }};
    if (has_onednn_linear(dtype)) calls.push_back(onednn_linear(x, w));
    // What disturbs one of the two measurements passes; a kernel that is missing among the peak's does not.
    bool below = false;
    for (int attempt = 0; attempt < 5 && !below; ++attempt) {
      double fastest = 0;
      for (const auto& call : calls) {
        fastest = std::max(fastest, product_flops(size.m, size.n, size.k) / best_seconds_of(call));
      }
      const auto peaks = measure_peaks(dtype, at::kCPU, {.sizes = {size}, .seconds_each = 0.1});
      UNSCOPED_INFO(at::toString(dtype) << ": " << fastest << " FLOP/s, peak " << peaks.gemm_flops_per_s << " with "
                                        << peaks.gemm_kernel);
      below = fastest < 1.05 * peaks.gemm_flops_per_s;
    }
    CHECK(below);
  }
}

TEST_CASE("oneDNN's linear layer multiplies by the transposed weight") {
  const c10::InferenceMode no_gradients;
  CHECK(has_onednn_linear(at::kFloat));
  const auto x = at::rand({5, 16});
  const auto w = at::rand({7, 16});
  CHECK(at::allclose(onednn_linear(x, w)(), at::mm(x, w.t()), 1e-4, 1e-4));
}

TEST_CASE("a search among small GEMMs alone takes little time", "[timed]") {
  at::set_num_threads(1);
  const auto start = std::chrono::steady_clock::now();
  measure_peaks(at::kFloat, at::kCPU, {.sizes = {{64, 96, 96}}, .seconds_each = 0.02});
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 10);
}

TEST_CASE("peaks are those of the best kernel, and are measured together", "[timed]") {
  at::set_num_threads(1);
  int calls = 0;
  const auto peaks = measure_peaks(at::kFloat, at::kCPU, {.seconds_each = 0.1}, [&] { ++calls; });
  CHECK(calls == 2);
  const auto plain = 2.0 * 512 * 2048 * 2048 / usual_seconds(512, 2048, 2048);
  CHECK(peaks.gemm_flops_per_s > 0.8 * plain);
  CHECK(peaks.gemm_flops_per_s < 1e13);
  CHECK(peaks.memory_bytes_per_s > 1e8);
  CHECK(peaks.memory_bytes_per_s < 1e13);
  CHECK_FALSE(peaks.gemm_kernel.empty());
  const auto again = measure_gemm_rate(peaks.gemm_kernel, peaks.gemm_size, 0.1, at::kFloat, at::kCPU);
  CHECK(again > 0.5 * peaks.gemm_flops_per_s);
  CHECK(again < 2 * peaks.gemm_flops_per_s);
}

TEST_CASE("a rate can not be measured with a kernel that is not here") {
  CHECK_THAT(complaint_of([] {
               measure_gemm_rate("abacus", {8, 8, 8}, 0.01, at::kFloat, at::kCPU);
             }),
             Catch::Contains("no kernel 'abacus'"));
}
