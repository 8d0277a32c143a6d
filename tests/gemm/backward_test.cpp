// The backward's two products, of weights that are kept as they are.
#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <functional>
#include <vector>

#include "onednn_as_it_lies.h"
#include "support/thrown.h"
#include "timing.h"
#include "tpsp/gemm/product.h"
#include "tpsp/gemm/weight.h"
#include "tpsp/machine/memory.h"

using namespace tpsp;

namespace {

at::Tensor random_matrix(std::int64_t rows, std::int64_t columns, at::ScalarType dtype) {
  return at::randn({rows, columns}).to(dtype);
}

// The same numbers as columns of a wider matrix.
at::Tensor among_others(const at::Tensor& matrix) {
  const auto wide = random_matrix(matrix.size(0), matrix.size(1) + 12, matrix.scalar_type());
  return wide.narrow(1, 5, matrix.size(1)).copy_(matrix);
}

// The largest error, in units of what rounding allows: fp32 sums of k terms, and roundings to the dtype.
double error(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const at::Tensor& before) {
  const auto product = at::mm(a.to(at::kDouble), b.to(at::kDouble));
  const auto want = product + before;
  const auto magnitude = at::mm(a.to(at::kDouble).abs(), b.to(at::kDouble).abs());
  const double sum_unit = 1.2e-7 * static_cast<double>(a.size(1));
  const double rounding_unit = out.scalar_type() == at::kBFloat16 ? 0.0080 : 2.4e-7;
  const auto allowed = magnitude * sum_unit + (want.abs() + before.abs()) * rounding_unit + 1e-30;
  return ((out.to(at::kDouble) - want).abs() / allowed).max().item<double>();
}

struct Shape {
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
};

// The last is summed aside in two parts, for either gradient.
constexpr Shape shapes[] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 64}, {129, 256, 300}, {64, 1, 300}, {600, 530, 40}};

}  // namespace

TEST_CASE("the gradient of x is the gradient of the result times the weight") {
  at::manual_seed(6);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto& [m, n, k] : shapes) {
      for (const int threads : {1, 2}) {
        CAPTURE(at::toString(dtype), m, n, k, threads);
        at::set_num_threads(threads);
        const auto matrix = random_matrix(n, k, dtype);
        const auto gradient = random_matrix(m, n, dtype);
        for (const auto kernel : plain_kernels(dtype, at::kCPU)) {
          CAPTURE(to_string(kernel));
          const auto weight = weight_with(kernel, LinearGemm::input_gradient, matrix);
          for (const auto& one : {gradient, among_others(gradient)}) {
            const auto out = at::empty({m, k}, gradient.options());
            weight.multiply_input_gradient(one, out);
            CHECK(error(out, gradient, matrix, at::zeros({m, k}, at::kDouble)) <= 1);
          }
        }
        at::set_num_threads(1);
      }
    }
  }
}

TEST_CASE("the gradient of the weight is set, or added to what there is") {
  at::manual_seed(7);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto& [m, n, k] : shapes) {
      CAPTURE(at::toString(dtype), m, n, k);
      const auto gradient = random_matrix(m, n, dtype);
      const auto x = random_matrix(m, k, dtype);
      const auto before = random_matrix(n, k, dtype);
      for (const auto kernel : plain_kernels(dtype, at::kCPU)) {
        const auto weight = weight_with(kernel, LinearGemm::weight_gradient, before);
        for (const bool adds : {false, true}) {
          for (const bool strided : {false, true}) {
            CAPTURE(to_string(kernel), adds, strided);
            const auto out = before.clone();
            weight.multiply_weight_gradient(strided ? among_others(gradient) : gradient, strided ? among_others(x) : x,
                                            out, adds);
            const auto added = adds ? before.to(at::kDouble) : at::zeros({n, k}, at::kDouble);
            CHECK(error(out, gradient.t(), x, added) <= 1);
          }
        }
      }
    }
  }
}

TEST_CASE("where oneDNN multiplies activations it multiplies for the backward too") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    if (!has_product(dtype)) continue;
    const auto gradient = random_matrix(64, 48, dtype);
    const auto x = random_matrix(64, 80, dtype);
    const auto weight = random_matrix(48, 80, dtype);
    for (const auto gemm : {OnednnGemm::first, OnednnGemm::jit}) {
      if (!onednn_has(gemm, dtype)) continue;
      CAPTURE(at::toString(dtype), static_cast<int>(gemm));
      CHECK(onednn_multiply(gemm, gradient, weight, at::empty({64, 80}, x.options())));
      CHECK(onednn_multiply(gemm, gradient.t(), x, at::empty({48, 80}, x.options())));
      CHECK(onednn_multiply(gemm, gradient.t(), x, at::zeros({48, 80}, x.options()), /*adds=*/true));
    }
  }
  const auto doubles = at::ones({2, 2}, at::kDouble);
  CHECK_FALSE(onednn_multiply(OnednnGemm::first, doubles, doubles, doubles));
}

TEST_CASE("where oneDNN is there it has its GEMM with generated code for fp32") {
  CHECK(onednn_has(OnednnGemm::jit, at::kFloat) == !onednn_version().empty());
}

namespace {

/// Bytes that each GEMM of 700 tokens with a weight `[1100, 80]` allocates.
std::vector<std::int64_t> scratch_of(GemmKernel kernel, const at::TensorOptions& options) {
  const auto zeros = [&](std::int64_t rows, std::int64_t columns) { return at::zeros({rows, columns}, options); };
  GemmKernels kernels(kernel);
  kernels.input_gradient = kernels.weight_gradient = kernel;
  const GemmWeight weight(zeros(1100, 80), kernels);
  const auto x = zeros(700, 80);
  const auto y = zeros(700, 1100);
  const auto dw = zeros(1100, 80);
  std::vector<std::int64_t> bytes;
  for (const std::function<void()>& multiply : {std::function<void()>([&] { weight.multiply(x, y); }),
                                                {[&] { weight.multiply_input_gradient(y, x); }},
                                                {[&] { weight.multiply_weight_gradient(y, x, dw, true); }}}) {
    multiply();
    const AllocationMeter meter(options.device().type());
    multiply();
    bytes.push_back(meter.peak_bytes());
  }
  return bytes;
}

}  // namespace

TEST_CASE("oneDNN's scratch is taken on meta too, and in bf16 holds sums of at most 512 rows") {
  const c10::InferenceMode no_gradients;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      for (const auto kernel : plain_kernels(dtype, at::kCPU)) {
        if (kernel == GemmKernel::plain) continue;
        CAPTURE(threads, at::toString(dtype), to_string(kernel));
        const auto taken = scratch_of(kernel, at::TensorOptions(dtype));
        CHECK(taken == scratch_of(kernel, at::TensorOptions(dtype).device(at::kMeta)));
        if (kernel != GemmKernel::onednn_jit || threads > 1) continue;
        const std::int64_t sums_of_row = dtype == at::kFloat ? 0 : sizeof(float);
        const std::int64_t columns[]{1100, 80, 80};  // of the results
        const std::int64_t rows[]{350, 350, 367};    // of equal parts of 700, 700 and 1100
        constexpr std::int64_t alignment = 256;
        for (std::size_t i = 0; i < taken.size(); ++i) {
          CHECK(taken[i] >= rows[i] * columns[i] * sums_of_row);
          CHECK(taken[i] <= rows[i] * columns[i] * sums_of_row + alignment);
        }
      }
    }
    at::set_num_threads(1);
  }
}

TEST_CASE("no tokens leave the gradient of the weight 0, or what it was") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto kernel : plain_kernels(dtype, at::kCPU)) {
      const auto weight = weight_with(kernel, LinearGemm::weight_gradient, random_matrix(8, 16, dtype));
      const auto out = at::ones({8, 16}, dtype);
      weight.multiply_weight_gradient(at::empty({0, 8}, dtype), at::empty({0, 16}, dtype), out, true);
      CHECK(out.eq(1).all().item<bool>());
      weight.multiply_weight_gradient(at::empty({0, 8}, dtype), at::empty({0, 16}, dtype), out, false);
      CHECK(out.eq(0).all().item<bool>());
    }
  }
}

TEST_CASE("one row may be nearer to the next than it is long") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto kernel : plain_kernels(dtype, at::kCPU)) {
      CAPTURE(at::toString(dtype), to_string(kernel));
      const auto matrix = random_matrix(24, 16, dtype);
      const auto row = random_matrix(1, 24, dtype).as_strided({1, 24}, {1, 1});
      const auto out = at::empty({1, 16}, dtype);
      weight_with(kernel, LinearGemm::input_gradient, matrix).multiply_input_gradient(row, out);
      CHECK(error(out, row, matrix, at::zeros({1, 16}, at::kDouble)) <= 1);
    }
  }
}

TEST_CASE("a backward's kernel that packs is refused") {
  GemmKernels kernels;
  kernels.weight_gradient = GemmKernel::mkl;
  CHECK_THAT(defect_of([&] { GemmWeight(random_matrix(8, 16, at::kFloat), kernels); }),
             Catch::Contains("no kernel 'mkl'"));
}

TEST_CASE("the backward of a packed weight and of operands that do not fit is refused") {
  const auto matrix = random_matrix(8, 16, at::kFloat);
  const GemmWeight plain(matrix, GemmKernel::plain);
  const auto gradient = random_matrix(4, 8, at::kFloat);
  CHECK_THAT(defect_of([&] {
               plain.multiply_input_gradient(gradient, at::empty({3, 16}));
             }),
             Catch::Contains("the output has 3 rows"));
  CHECK_THAT(defect_of([&] {
               plain.multiply_input_gradient(at::empty({4, 9}), at::empty({4, 16}));
             }),
             Catch::Contains("the gradient"));
  CHECK_THAT(defect_of([&] {
               plain.multiply_weight_gradient(gradient, at::empty({5, 16}), at::empty({8, 16}), false);
             }),
             Catch::Contains("the input has 5 rows"));
  for (const auto kernel : packed_kernels(at::kFloat, at::kCPU)) {
    if (kernel == GemmKernel::plain) continue;
    const GemmWeight packed(matrix, kernel);
    CHECK_THAT(defect_of([&] {
                 packed.multiply_input_gradient(gradient, at::empty({4, 16}));
               }),
               Catch::Contains("no backward of a packed weight"));
  }
}
