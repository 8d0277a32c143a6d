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

GemmChoice chosen(GemmPolicy policy, const std::vector<LoweredPlan>& plans, at::ScalarType dtype,
                  KnownChoices known = {}) {
  SerialWorld world;
  return choose_kernels(policy, plans, 64, dtype, at::kCPU, world, known);
}

double relative_size(GemmKernel kernel, std::int64_t rows, std::int64_t columns, at::ScalarType dtype) {
  const auto plain = at::empty({rows, columns}, at::TensorOptions().dtype(dtype).device(at::kMeta));
  return static_cast<double>(GemmWeight(plain, kernel).bytes()) / static_cast<double>(plain.nbytes());
}

}  // namespace

TEST_CASE("a weight that packing makes more than 0.5% larger stays plain, unless packed ones are asked for") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const bool packs = packed_kernels(dtype, at::kCPU).size() > 1;
    for (const std::int64_t hidden : {96, 512, 1024}) {
      const auto plans = tp_plans(hidden);
      const auto automatic = chosen(GemmPolicy::automatic, plans, dtype);
      for (const auto& [rows, columns] : weight_shapes(plans, dtype)) {
        CAPTURE(rows, columns, at::toString(dtype));
        CHECK(relative_size(automatic.at(rows, columns).forward, rows, columns, dtype) <= 1.005);
        if (packs) CHECK(chosen(GemmPolicy::packed, plans, dtype).at(rows, columns).forward != GemmKernel::plain);
      }
    }
  }
}

TEST_CASE("a training step's kernels keep every weight as it is") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto plans = tp_plans(512);
    const auto in_place = chosen(GemmPolicy::in_place, plans, dtype);
    const auto kernels = plain_kernels(dtype, at::kCPU);
    for (const auto& [rows, columns] : weight_shapes(plans, dtype)) {
      auto chosen_here = in_place.at(rows, columns);
      for (const auto gemm : linear_gemms()) {
        CHECK(std::find(kernels.begin(), kernels.end(), chosen_here.of(gemm)) != kernels.end());
      }
      CHECK(relative_size(chosen_here.forward, rows, columns, dtype) == 1);
    }
  }
}

TEST_CASE("a kernel replaces the first only where it is faster by more than 3% and the noise") {
  const auto quiet = [](double seconds) { return std::vector<double>(9, seconds); };
  CHECK(clearly_fastest({quiet(1.0)}) == 0);
  CHECK(clearly_fastest({quiet(1.0), quiet(0.98)}) == 0);
  CHECK(clearly_fastest({quiet(1.0), quiet(0.96)}) == 1);
  CHECK(clearly_fastest({quiet(1.0), quiet(0.96), quiet(0.94)}) == 1);
  CHECK(clearly_fastest({quiet(1.0), quiet(0.96), quiet(0.90)}) == 2);
  std::vector<double> noisy{0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.1, 1.1};  // two of nine pairs were slower
  CHECK(clearly_fastest({quiet(1.0), noisy}) == 0);
  noisy[7] = 0.9;
  CHECK(clearly_fastest({quiet(1.0), noisy}) == 1);
}

TEST_CASE("what is known is taken without a try, and what is tried becomes known") {
  const auto plans = tp_plans(512);
  SerialWorld world;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto kernels = packed_kernels(dtype, at::kCPU);
    KnownChoices known;
    for (const auto& [rows, columns] : weight_shapes(plans, dtype)) known[{{64, rows, columns}}] = kernels.back();
    const auto choice = choose_kernels(GemmPolicy::automatic, plans, 64, dtype, at::kCPU, world, known);
    for (const auto& [rows, columns] : weight_shapes(plans, dtype))
      CHECK(choice.at(rows, columns).forward == kernels.back());
    if (kernels.size() == 1) continue;
    KnownChoices learnt;
    const auto tried = choose_kernels(GemmPolicy::packed, plans, 64, dtype, at::kCPU, world, learnt);
    for (const auto& [of, kernel] : learnt) CHECK(tried.at(of.size.n, of.size.k).forward == kernel);
    CHECK(learnt.empty() == (kernels.size() <= 2));  // one that packs needs no try
  }
}

TEST_CASE("a known kernel that the policy does not allow is not taken") {
  const auto plans = tp_plans(512);
  KnownChoices known;
  for (const auto& [rows, columns] : weight_shapes(plans, at::kFloat)) known[{{64, rows, columns}}] = GemmKernel::plain;
  const auto choice = chosen(GemmPolicy::packed, plans, at::kFloat, known);
  for (const auto& [rows, columns] : weight_shapes(plans, at::kFloat))
    CHECK(choice.at(rows, columns).forward != GemmKernel::plain);
}

TEST_CASE("each GEMM of a training step has a choice of its own, which becomes known by its name") {
  const auto plans = tp_plans(512);
  const auto kernels = plain_kernels(at::kFloat, at::kCPU);
  const auto shapes = weight_shapes(plans, at::kFloat);
  KnownChoices known;
  for (const auto& [rows, columns] : shapes) {
    known[{{64, rows, columns}, LinearGemm::forward}] = kernels.front();
    known[{{64, rows, columns}, LinearGemm::input_gradient}] = kernels.back();
  }
  const auto before = known.size();
  SerialWorld world;
  const auto choice = choose_kernels(GemmPolicy::in_place, plans, 64, at::kFloat, at::kCPU, world, known);
  for (const auto& [rows, columns] : shapes) {
    CHECK(choice.at(rows, columns).forward == kernels.front());
    CHECK(choice.at(rows, columns).input_gradient == kernels.back());
    if (kernels.size() == 1) continue;
    CHECK(choice.at(rows, columns).weight_gradient == known.at({{64, rows, columns}, LinearGemm::weight_gradient}));
  }
  CHECK(known.size() == before + (kernels.size() == 1 ? 0 : shapes.size()));
}
