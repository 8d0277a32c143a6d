#include "tpsp/bench/gemm_choice.h"

#include "support/torch_and_catch.h"
#include "tpsp/models/config.h"

using namespace tpsp;

namespace {

std::vector<LoweredPlan> tp_plans(std::int64_t hidden) {
  auto config = load_model("llama-tiny");
  config.layers = 1;
  config.hidden = hidden;
  config.ffn = 2 * hidden;
  return {lower(load_plan("tp"), modules_of(config), 2)};
}

GemmChoice chosen(GemmPolicy policy, const std::vector<LoweredPlan>& plans, at::ScalarType dtype) {
  SerialWorld world;
  return choose_kernels(policy, plans, 64, dtype, at::kCPU, world);
}

double relative_size(GemmKernel kernel, std::int64_t rows, std::int64_t columns, at::ScalarType dtype) {
  const auto plain = at::empty({rows, columns}, at::TensorOptions().dtype(dtype).device(at::kMeta));
  return static_cast<double>(GemmWeight(plain, kernel).bytes()) / static_cast<double>(plain.nbytes());
}

}  // namespace

TEST_CASE("a weight that packing makes more than 2% larger stays plain, unless packed ones are asked for") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const bool packs = packed_kernels(dtype, at::kCPU).size() > 1;
    for (const std::int64_t hidden : {96, 512, 1024}) {
      const auto plans = tp_plans(hidden);
      const auto automatic = chosen(GemmPolicy::automatic, plans, dtype);
      for (const auto& [rows, columns] : weight_shapes(plans, dtype)) {
        CAPTURE(rows, columns, at::toString(dtype));
        CHECK(relative_size(automatic.at(rows, columns), rows, columns, dtype) <= 1.02);
        if (packs) CHECK(chosen(GemmPolicy::packed, plans, dtype).at(rows, columns) != GemmKernel::plain);
      }
    }
  }
}

TEST_CASE("a kernel replaces the first only where it is at least 3% faster") {
  CHECK(quickest({1.0}) == 0);
  CHECK(quickest({1.0, 0.98}) == 0);
  CHECK(quickest({1.0, 0.96}) == 1);
  CHECK(quickest({1.0, 0.96, 0.94}) == 1);
  CHECK(quickest({1.0, 0.96, 0.90}) == 2);
}

TEST_CASE("the best rate that was seen while kernels were tried is kept") {
  const auto dtype = at::kFloat;
  const auto choice = chosen(GemmPolicy::automatic, tp_plans(512), dtype);
  const bool tried = packed_kernels(dtype, at::kCPU).size() > 1;
  CHECK((choice.best_flops_per_s() > 1e8) == tried);
  CHECK(chosen(GemmPolicy::plain, tp_plans(512), dtype).best_flops_per_s() == 0);
}
