// The backward's two products, of weights that are kept as they are.
#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include "onednn_as_it_lies.h"
#include "support/thrown.h"
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

GemmWeight weight_with(LinearGemm gemm, GemmKernel kernel, const at::Tensor& weight) {
  GemmKernels kernels;
  kernels.of(gemm) = kernel;
  return {weight, kernels};
}

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
          const auto weight = weight_with(LinearGemm::input_gradient, kernel, matrix);
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
        const auto weight = weight_with(LinearGemm::weight_gradient, kernel, before);
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

TEST_CASE("the sums that onednn-jit keeps aside are of 512 rows at most, in bf16 alone, and on meta too") {
  const c10::InferenceMode no_gradients;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    if (!onednn_has(OnednnGemm::jit, dtype)) continue;
    std::vector<std::int64_t> taken;
    for (const auto device : {at::kCPU, at::kMeta}) {
      const auto options = at::TensorOptions(dtype).device(device);
      const auto zeros = [&](std::int64_t rows, std::int64_t columns) { return at::zeros({rows, columns}, options); };
      const auto weight = zeros(1100, 80);
      const auto scratch = [&](const auto& multiply) {
        multiply();
        const AllocationMeter meter(device);
        multiply();
        taken.push_back(meter.peak_bytes());
      };
      const auto x = zeros(700, 80);
      const auto gradient = zeros(700, 1100);
      const auto input = weight_with(LinearGemm::input_gradient, GemmKernel::onednn_jit, weight);
      const auto dx = zeros(700, 80);
      scratch([&] { input.multiply_input_gradient(gradient, dx); });
      const auto own = weight_with(LinearGemm::weight_gradient, GemmKernel::onednn_jit, weight);
      const auto dw = zeros(1100, 80);
      scratch([&] { own.multiply_weight_gradient(gradient, x, dw, true); });
    }
    constexpr std::int64_t sums = 512 * 80 * sizeof(float);
    constexpr std::int64_t alignment = 128;
    for (const auto bytes : taken) {
      CAPTURE(at::toString(dtype));
      CHECK(bytes >= (dtype == at::kFloat ? 0 : sums));
      CHECK(bytes <= (dtype == at::kFloat ? 0 : sums + alignment));
      CHECK(bytes == taken.front());
    }
  }
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
