#include "tpsp/bench/gemm_choice.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tpsp/core/error.h"
#include "tpsp/gemm/choose.h"

namespace tpsp {
namespace {

using Shape = std::pair<std::int64_t, std::int64_t>;

std::set<Shape> shapes_of(const std::vector<LoweredPlan>& plans, c10::ScalarType dtype) {
  std::set<Shape> shapes;
  const auto note = [&](std::int64_t rows, std::int64_t columns) {
    shapes.emplace(rows, columns);
    return GemmKernel::plain;
  };
  for (const auto& plan : plans) ResidentWeights(plan, 0, {.dtype = dtype, .device = c10::kMeta, .kernel = note});
  return shapes;
}

std::vector<GemmKernel> candidates(GemmPolicy policy, c10::ScalarType dtype, c10::Device device) {
  if (policy == GemmPolicy::plain) return {GemmKernel::plain};
  auto kernels = packed_kernels(dtype, device);
  if (policy == GemmPolicy::automatic) return kernels;
  std::erase(kernels, GemmKernel::plain);
  if (!kernels.empty()) return kernels;
  throw bad_input({.where = "--gemm packed",
                   .what = "nothing here multiplies packed weights of this dtype",
                   .why = "fp32 needs LibTorch with MKL, bf16 a CPU that multiplies tiles (AMX)",
                   .remedy = "use --gemm auto"});
}

}  // namespace

GemmKernel GemmChoice::at(std::int64_t rows, std::int64_t columns) const {
  const auto found = kernels_.find({rows, columns});
  return found == kernels_.end() ? GemmKernel::plain : found->second;
}

KernelChoice GemmChoice::as_function() const {
  return [copy = *this](std::int64_t rows, std::int64_t columns) { return copy.at(rows, columns); };
}

GemmChoice choose_kernels(GemmPolicy policy, const std::vector<LoweredPlan>& plans, std::int64_t tokens,
                          c10::ScalarType dtype, c10::Device device, World& world) {
  GemmChoice choice;
  std::vector<GemmKernel> kernels;
  agree(world, [&] { kernels = candidates(policy, dtype, device); });
  std::string names;
  for (const auto kernel : kernels) names += fmt::format("--gemm {}\n", to_string(kernel));
  require_same(world, names);
  for (const auto& [rows, columns] : shapes_of(plans, dtype)) {
    std::size_t best = 0;
    if (kernels.size() > 1) {
      world.barrier();
      const auto times = max_over_ranks(world, time_kernels(kernels, tokens, rows, columns, dtype));
      best = static_cast<std::size_t>(std::min_element(times.begin(), times.end()) - times.begin());
    }
    choice.set(rows, columns, kernels[best]);
  }
  return choice;
}

}  // namespace tpsp
