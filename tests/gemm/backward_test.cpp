// The backward's two products, of weights that are kept as they are.
#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>

#include "onednn_as_it_lies.h"
#include "support/thrown.h"
#include "tpsp/gemm/product.h"
#include "tpsp/gemm/weight.h"

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

constexpr Shape shapes[] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 64}, {129, 256, 300}, {64, 1, 300}};

}  // namespace

TEST_CASE("the gradient of x is the gradient of the result times the weight") {
  at::manual_seed(6);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto& [m, n, k] : shapes) {
      for (const int threads : {1, 2}) {
        CAPTURE(at::toString(dtype), m, n, k, threads);
        at::set_num_threads(threads);
        const auto matrix = random_matrix(n, k, dtype);
        const GemmWeight weight(matrix, plain_kernels(dtype, at::kCPU).front());
        const auto gradient = random_matrix(m, n, dtype);
        for (const auto& one : {gradient, among_others(gradient)}) {
          const auto out = at::empty({m, k}, gradient.options());
          weight.multiply_backward(one, out);
          CHECK(error(out, gradient, matrix, at::zeros({m, k}, at::kDouble)) <= 1);
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
      for (const bool adds : {false, true}) {
        for (const bool strided : {false, true}) {
          const auto out = before.clone();
          multiply_weight_gradient(strided ? among_others(gradient) : gradient, strided ? among_others(x) : x, out,
                                   adds);
          const auto added = adds ? before.to(at::kDouble) : at::zeros({n, k}, at::kDouble);
          CHECK(error(out, gradient.t(), x, added) <= 1);
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
    CAPTURE(at::toString(dtype));
    CHECK(onednn_multiply(gradient, weight, at::empty({64, 80}, x.options())));
    CHECK(onednn_multiply(gradient.t(), x, at::empty({48, 80}, x.options())));
    CHECK(onednn_multiply(gradient.t(), x, at::zeros({48, 80}, x.options()), /*adds=*/true));
  }
  CHECK_FALSE(
      onednn_multiply(at::ones({2, 2}, at::kDouble), at::ones({2, 2}, at::kDouble), at::ones({2, 2}, at::kDouble)));
}

TEST_CASE("the backward of a packed weight and of operands that do not fit is refused") {
  const auto matrix = random_matrix(8, 16, at::kFloat);
  const GemmWeight plain(matrix, GemmKernel::plain);
  const auto gradient = random_matrix(4, 8, at::kFloat);
  CHECK_THAT(defect_of([&] {
               plain.multiply_backward(gradient, at::empty({3, 16}));
             }),
             Catch::Contains("the output has 3 rows"));
  CHECK_THAT(defect_of([&] {
               plain.multiply_backward(at::empty({4, 9}), at::empty({4, 16}));
             }),
             Catch::Contains("the gradient"));
  for (const auto kernel : packed_kernels(at::kFloat, at::kCPU)) {
    if (kernel == GemmKernel::plain) continue;
    const GemmWeight packed(matrix, kernel);
    CHECK_THAT(defect_of([&] {
                 packed.multiply_backward(gradient, at::empty({4, 16}));
               }),
               Catch::Contains("no backward of a packed weight"));
  }
}
