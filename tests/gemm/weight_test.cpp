#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "allocations.h"
#include "support/thrown.h"
#include "tpsp/gemm/weight.h"
#include "tpsp/machine/memory.h"

using namespace tpsp;

namespace {

// A kernel with a dtype that it has.
struct Pair {
  GemmKernel kernel;
  at::ScalarType dtype;
};

std::vector<Pair> all_pairs() {
  std::vector<Pair> pairs;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto kernel : packed_kernels(dtype, at::kCPU)) pairs.push_back({kernel, dtype});
    for (const auto kernel : plain_kernels(dtype, at::kCPU)) {
      if (kernel != GemmKernel::plain) pairs.push_back({kernel, dtype});  // which the packed ones have too
    }
  }
  return pairs;
}

bool keeps_weight(GemmKernel kernel) {
  const auto kernels = plain_kernels(at::kFloat, at::kCPU);
  return std::find(kernels.begin(), kernels.end(), kernel) != kernels.end();
}

std::vector<std::string> kernel_names(at::ScalarType dtype, at::Device device) {
  std::vector<std::string> names;
  for (const auto kernel : packed_kernels(dtype, device)) names.emplace_back(to_string(kernel));
  return names;
}

at::Tensor random_matrix(std::int64_t rows, std::int64_t columns, at::ScalarType dtype) {
  return at::randn({rows, columns}, at::kFloat).to(dtype);
}

at::Tensor reference(const at::Tensor& x, const at::Tensor& weight) {
  return at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
}

// The largest error, in units of what rounding allows: fp32 sums of k terms, and one rounding to the dtype.
double error(const at::Tensor& out, const at::Tensor& x, const at::Tensor& weight) {
  const auto want = reference(x, weight);
  const auto magnitude = at::mm(x.to(at::kDouble).abs(), weight.to(at::kDouble).abs().t());
  const double sum_unit = 1.2e-7 * static_cast<double>(x.size(1));
  const double rounding_unit = out.scalar_type() == at::kBFloat16 ? 0.0040 : 6e-8;
  const auto allowed = magnitude * sum_unit + want.abs() * rounding_unit;
  return ((out.to(at::kDouble) - want).abs() / allowed).max().item<double>();
}

// Bytes that the GEMM of `[m, 300]` allocates.
std::size_t scratch_of(GemmKernel kernel, at::ScalarType dtype, std::int64_t m) {
  const GemmWeight weight(random_matrix(256, 300, dtype), kernel);
  const auto x = random_matrix(m, 300, dtype);
  const auto out = at::empty({m, 256}, x.options());
  weight.multiply(x, out);
  return allocated_by([&] { weight.multiply(x, out); });
}

// The same while it writes some columns of a wider matrix.
std::size_t scratch_of_columns(GemmKernel kernel, at::ScalarType dtype, std::int64_t m) {
  const GemmWeight weight(random_matrix(256, 300, dtype), kernel);
  const auto x = random_matrix(m, 300, dtype);
  const auto out = at::empty({m, 600}, x.options()).narrow(1, 100, 256);
  weight.multiply(x, out);
  return allocated_by([&] { weight.multiply(x, out); });
}

constexpr std::int64_t some_m[]{1, 3, 17, 129};
constexpr std::int64_t some_n[]{1, 5, 33, 256};
constexpr std::int64_t some_k[]{1, 7, 64, 300};

}  // namespace

TEST_CASE("every kernel's GEMM agrees with fp64 within rounding") {
  at::manual_seed(1);
  for (const auto& [kernel, dtype] : all_pairs()) {
    for (const auto n : some_n) {
      for (const auto k : some_k) {
        const auto w = random_matrix(n, k, dtype);
        const GemmWeight weight(w, kernel);
        for (const auto m : some_m) {
          CAPTURE(to_string(kernel), at::toString(dtype), m, n, k);
          const auto x = random_matrix(m, k, dtype);
          const auto out = at::full({m, n}, 77, x.options());
          weight.multiply(x, out);
          CHECK(error(out, x, w) < 1);
        }
      }
    }
  }
}

TEST_CASE("inputs and outputs may be columns of wider matrices, and the other columns are not written") {
  at::manual_seed(2);
  for (const auto& [kernel, dtype] : all_pairs()) {
    for (const auto n : some_n) {
      for (const auto m : some_m) {
        const std::int64_t k = 75;
        CAPTURE(to_string(kernel), at::toString(dtype), m, n);
        const auto w = random_matrix(n, k + 9, dtype).narrow(1, 4, k);
        const auto x = random_matrix(m, 2 * k, dtype).narrow(1, 11, k);
        const auto wide = at::full({m, n + 10}, 77, x.options());
        const auto out = wide.narrow(1, 3, n);
        GemmWeight(w, kernel).multiply(x, out);
        CHECK(error(out, x, w) < 1);
        CHECK(wide.narrow(1, 0, 3).eq(77).all().item<bool>());
        CHECK(wide.narrow(1, 3 + n, 7).eq(77).all().item<bool>());
      }
    }
  }
}

TEST_CASE("many rows between wider ones are all computed") {
  at::manual_seed(6);
  for (const auto& [kernel, dtype] : all_pairs()) {
    for (const std::int64_t m : {257, 600}) {
      CAPTURE(to_string(kernel), at::toString(dtype), m);
      const auto w = random_matrix(64, 75, dtype);
      const auto x = random_matrix(m, 150, dtype).narrow(1, 11, 75);
      const auto out = at::full({m, 100}, 77, x.options()).narrow(1, 3, 64);
      GemmWeight(w, kernel).multiply(x, out);
      CHECK(error(out, x, w) < 1);
    }
  }
}

TEST_CASE("one packed weight serves any number of rows, in any order") {
  at::manual_seed(3);
  const std::int64_t n = 600;
  const std::int64_t k = 2101;
  for (const auto& [kernel, dtype] : all_pairs()) {
    const auto w = random_matrix(n, k, dtype);
    const GemmWeight weight(w, kernel);
    for (const std::int64_t m : {600, 1, 256, 257, 0, 2, 767, 768, 1030, 1537, 600}) {
      CAPTURE(to_string(kernel), at::toString(dtype), m);
      const auto x = random_matrix(m, k, dtype);
      const auto out = at::full({m, n}, 77, x.options());
      weight.multiply(x, out);
      if (m > 0) CHECK(error(out, x, w) < 1);
    }
  }
}

TEST_CASE("NaN and infinity propagate, and other elements are unaffected") {
  for (const auto& [kernel, dtype] : all_pairs()) {
    CAPTURE(to_string(kernel), at::toString(dtype));
    const auto w = at::ones({40, 64}, dtype);
    const auto x = at::ones({3, 64}, dtype);
    x[0][5] = std::numeric_limits<float>::quiet_NaN();
    x[1][6] = std::numeric_limits<float>::infinity();
    const auto out = at::empty({3, 40}, dtype);
    GemmWeight(w, kernel).multiply(x, out);
    CHECK(out[0].isnan().all().item<bool>());
    CHECK(out[1].isposinf().all().item<bool>());
    CHECK(out[2].eq(64).all().item<bool>());
  }
}

TEST_CASE("a packed GEMM allocates no memory") {
  const c10::InferenceMode no_gradients;
  for (const auto& [kernel, dtype] : all_pairs()) {
    if (keeps_weight(kernel)) continue;
    CAPTURE(to_string(kernel), at::toString(dtype));
    CHECK(scratch_of(kernel, dtype, 129) == 0);
    if (kernel != GemmKernel::onednn) CHECK(scratch_of_columns(kernel, dtype, 129) == 0);
  }
}

TEST_CASE("onednn copies 256 rows at a time of what is strided, and takes as much on meta") {
  const c10::InferenceMode no_gradients;
  const auto copies = [](const at::Tensor& like) {
    const auto x = at::empty({1000, 150}, like.options()).narrow(1, 0, 75);
    const auto out = at::empty({1000, 500}, like.options()).narrow(1, 100, 256);
    const GemmWeight weight(like, GemmKernel::onednn);
    if (!like.is_meta()) weight.multiply(x, out);
    const AllocationMeter meter(like.device().type());
    weight.multiply(x, out);
    return meter.peak_bytes();
  };
  for (const auto& [kernel, dtype] : all_pairs()) {
    if (kernel != GemmKernel::onednn) continue;
    CAPTURE(at::toString(dtype));
    const auto bytes = static_cast<std::int64_t>(256 * (75 + 256) * at::elementSize(dtype));
    CHECK(copies(at::ones({256, 75}, dtype)) == bytes);
    CHECK(copies(at::empty({256, 75}, at::TensorOptions().dtype(dtype).device(at::kMeta))) == bytes);
  }
}

// oneDNN's bf16 GEMM sums blocks in fp32 (AMX, AVX512-BF16), or all of `out` where the CPU has neither (AVX512).
TEST_CASE("at::mm takes no memory in fp32, and in bf16 a copy of its output in fp32 at most") {
  const c10::InferenceMode no_gradients;
  at::set_num_threads(1);  // the scratch grows with them
  CHECK(scratch_of_columns(GemmKernel::plain, at::kFloat, 129) == 0);
  CHECK(scratch_of_columns(GemmKernel::plain, at::kBFloat16, 129) <= 129 * 256 * sizeof(float) + 4096);
}

TEST_CASE("a weight holds the bytes that it says, and the packed ones nothing else") {
  for (const auto& [kernel, dtype] : all_pairs()) {
    if (keeps_weight(kernel)) continue;
    CAPTURE(to_string(kernel), at::toString(dtype));
    auto w = random_matrix(200, 300, dtype);
    const c10::weak_intrusive_ptr<c10::TensorImpl> tensor(w.getIntrusivePtr());
    std::int64_t held = 0;
    const auto taken = allocated_by([&, kernel = kernel] {
      const GemmWeight weight(std::move(w), kernel);
      held = weight.bytes();
      CHECK(tensor.expired());
      CHECK(weight.rows() == 200);
      CHECK(weight.columns() == 300);
      CHECK(weight.kernels().forward == kernel);
    });
    CHECK(held >= 200 * 300 * static_cast<std::int64_t>(at::elementSize(dtype)));
    CHECK(static_cast<std::int64_t>(taken) >= held);
  }
  for (const auto kernel : plain_kernels(at::kFloat, at::kCPU)) {
    const auto matrix = at::zeros({20, 30});
    const GemmWeight weight(matrix, kernel);
    CHECK(weight.bytes() == 20 * 30 * 4);
    CHECK(weight.plain().is_same(matrix));
  }
}

TEST_CASE("a meta weight takes as many bytes as a real one, and its GEMMs check the shapes and compute nothing") {
  for (const auto& [kernel, dtype] : all_pairs()) {
    CAPTURE(to_string(kernel), at::toString(dtype));
    const auto meta = at::TensorOptions().dtype(dtype).device(at::kMeta);
    const GemmWeight weight(at::empty({133, 71}, meta), kernel);
    CHECK(weight.bytes() == GemmWeight(at::zeros({133, 71}, dtype), kernel).bytes());
    weight.multiply(at::empty({5, 71}, meta), at::empty({5, 133}, meta));
    CHECK_THROWS(weight.multiply(at::empty({5, 70}, meta), at::empty({5, 133}, meta)));
  }
}

TEST_CASE("ranks that are threads multiply at the same time, each its own weight") {
  at::set_num_threads(1);
  for (const auto& [kernel, dtype] : all_pairs()) {
    CAPTURE(to_string(kernel), at::toString(dtype));
    double errors[2]{9, 9};
    std::vector<std::thread> ranks;
    for (double& worst : errors) {
      ranks.emplace_back([&worst, kernel = kernel, dtype = dtype] {
        const auto w = random_matrix(100, 200, dtype);
        const GemmWeight weight(w, kernel);
        worst = 0;
        for (int i = 0; i < 20; ++i) {
          const auto x = random_matrix(1 + 7 * i, 200, dtype);
          const auto out = at::empty({x.size(0), 100}, x.options());
          weight.multiply(x, out);
          worst = std::max(worst, error(out, x, w));
        }
      });
    }
    for (auto& rank : ranks) rank.join();
    CHECK(errors[0] < 1);
    CHECK(errors[1] < 1);
  }
}

TEST_CASE("several threads share a GEMM") {
  for (const auto& [kernel, dtype] : all_pairs()) {
    CAPTURE(to_string(kernel), at::toString(dtype));
    at::set_num_threads(3);
    const auto w = random_matrix(333, 100, dtype);
    const auto x = random_matrix(300, 100, dtype);
    const auto out = at::empty({300, 333}, x.options());
    GemmWeight(w, kernel).multiply(x, out);
    at::set_num_threads(1);
    CHECK(error(out, x, w) < 1);
  }
}

TEST_CASE("the plain kernel is there for every device, and on the CPU only oneDNN's is preferred to it") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto names = kernel_names(dtype, at::kCPU);
    const bool has_onednn = std::count(names.begin(), names.end(), "onednn") == 1;
    CHECK(names.at(has_onednn ? 1 : 0) == "plain");
    CHECK((!has_onednn || names.front() == "onednn"));
    CHECK(kernel_names(dtype, at::kMeta) == names);
    CHECK(kernel_names(dtype, at::kCUDA) == std::vector<std::string>{"plain"});
    CHECK(std::count(names.begin(), names.end(), "mkl") <= (dtype == at::kFloat ? 1 : 0));
  }
}

TEST_CASE("what does not fit is an internal error") {
  const GemmWeight weight(at::zeros({4, 6}), GemmKernel::plain);
  const auto refused = [&](const at::Tensor& x, const at::Tensor& out, const std::string& text) {
    const auto message = defect_of([&] { weight.multiply(x, out); });
    CHECK_THAT(message, Catch::Contains(text));
  };
  refused(at::zeros({2, 5}), at::zeros({2, 4}), "the input has 5 columns");
  refused(at::zeros({2, 6}), at::zeros({2, 5}), "the output has 5 columns");
  refused(at::zeros({2, 6}), at::zeros({3, 4}), "the output has 3 rows");
  refused(at::zeros({2, 6}, at::kBFloat16), at::zeros({2, 4}), "the input is BFloat16");
  refused(at::zeros({2, 6}, at::kMeta), at::zeros({2, 4}), "meta");
  refused(at::zeros({6, 2}).t(), at::zeros({2, 4}), "contiguous rows");
  refused(at::zeros({2, 6}), at::zeros({1, 4}).expand({2, 4}), "contiguous rows");
  refused(at::zeros({2, 3, 6}), at::zeros({2, 4}), "not a matrix");
  CHECK_THAT(defect_of([] { GemmWeight(at::zeros({0, 6}), GemmKernel::plain); }), Catch::Contains("empty"));
  CHECK_THAT(defect_of([] { GemmWeight(at::zeros({4, 6}, at::kInt), GemmKernel::plain); }), Catch::Contains("Int"));
  CHECK_THAT(defect_of([] {
               GemmWeight(at::zeros({4, 6}, at::kBFloat16), GemmKernel::mkl);
             }),
             Catch::Contains("no kernel 'mkl'"));
}
