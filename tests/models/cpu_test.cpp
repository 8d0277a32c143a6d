// For the runs as another CPU: says which instruction sets are in use, for CTest to compare with those asked for.
// oneDNN reports its own (ONEDNN_VERBOSE) at its first GEMM, which has to be one that it takes.
#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Version.h>
#include <fmt/format.h>

#include <algorithm>

#include "tpsp/gemm/weight.h"
#include "tpsp/kernels/kernels.h"

using namespace tpsp;

TEST_CASE("the instruction sets in use", "[.][cpu]") {
  const auto matrix = at::ones({64, 64}, at::kBFloat16);
  GemmWeight(matrix, GemmKernel::plain).multiply(matrix, at::empty_like(matrix));
  const auto kernels = packed_kernels(at::kBFloat16, at::kCPU);
  fmt::print("LibTorch {}, kernels {}, AMX {}\n", at::get_cpu_capability(), kernels::instruction_set(),
             std::count(kernels.begin(), kernels.end(), GemmKernel::amx) == 1);
  CHECK(!kernels::instruction_set().empty());
}
