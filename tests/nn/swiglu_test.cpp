#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>

#include "tpsp/nn/ops.h"

using namespace tpsp;

namespace {

at::Tensor reference(const at::Tensor& gate, const at::Tensor& up) {
  const auto x = gate.to(at::kDouble);
  return x / (1 + (-x).exp()) * up.to(at::kDouble);
}

double error(const at::Tensor& out, const at::Tensor& want) {
  return (out.to(at::kDouble) - want).abs().max().item<double>();
}

}  // namespace

TEST_CASE("SwiGLU of the halves of one tensor is dense, in that tensor's memory, however many threads share it") {
  at::manual_seed(4);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t seq : {1, 2, 3, 127, 600}) {
      for (const int threads : {1, 3}) {
        CAPTURE(at::toString(dtype), seq, threads);
        at::set_num_threads(threads);
        const std::int64_t width = 1000;
        const auto both = at::randn({seq, 2, 2 * width}).to(dtype);
        const auto gate = both.narrow(2, 0, width);
        const auto up = both.narrow(2, width, width);
        const auto want = reference(gate, up);
        const auto out = ops::swiglu(gate, up);
        at::set_num_threads(1);
        CHECK(out.is_contiguous());
        CHECK(out.data_ptr() == both.data_ptr());
        CHECK(error(out, want) < (dtype == at::kFloat ? 1e-5 : 0.1));
      }
    }
  }
}

TEST_CASE("SwiGLU of other tensors is written into the gate") {
  at::manual_seed(5);
  const auto wide = at::randn({5, 2, 70});
  const auto gate = wide.narrow(2, 0, 30);
  const auto up = wide.narrow(2, 35, 30);  // a gap between the two
  const auto between = wide.narrow(2, 30, 5).clone();
  const auto want = reference(gate, up);
  const auto out = ops::swiglu(gate, up);
  CHECK(out.is_same(gate));
  CHECK(error(out, want) < 1e-5);
  CHECK(wide.narrow(2, 30, 5).equal(between));
}

TEST_CASE("SwiGLU of halves has its shape on meta") {
  const auto both = at::empty({6, 2, 20}, at::TensorOptions().device(at::kMeta));
  const auto gate = both.narrow(2, 0, 10);
  const auto up = both.narrow(2, 10, 10);
  CHECK(ops::swiglu(gate, up).is_contiguous());
  CHECK(ops::swiglu(gate, up, {.device = at::kCUDA}).is_same(gate));
}
