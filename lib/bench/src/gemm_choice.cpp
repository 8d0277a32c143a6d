#include "tpsp/bench/gemm_choice.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "out_of_memory.h"
#include "tpsp/core/error.h"
#include "tpsp/gemm/choose.h"
#include "tpsp/machine/memory.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {
namespace {

std::vector<GemmKernel> candidates(GemmPolicy policy, c10::ScalarType dtype, c10::Device device) {
  if (policy == GemmPolicy::plain) return {GemmKernel::plain};
  if (policy == GemmPolicy::in_place) return plain_kernels(dtype, device);
  auto kernels = packed_kernels(dtype, device);
  if (policy == GemmPolicy::automatic) return kernels;
  std::erase(kernels, GemmKernel::plain);
  if (!kernels.empty()) return kernels;
  throw bad_input({.where = "--gemm packed",
                   .what = "nothing here multiplies packed weights of this dtype",
                   .why = "it needs oneDNN; or for fp32 LibTorch with MKL, for bf16 a CPU that multiplies tiles (AMX)",
                   .remedy = "use --gemm auto"});
}

// What each kernel's form of a weight takes, as a multiple of the plain one; the largest over the ranks. Collective.
std::vector<double> relative_sizes(const std::vector<GemmKernel>& kernels, std::int64_t rows, std::int64_t columns,
                                   c10::ScalarType dtype, World& world) {
  const auto plain = at::empty({rows, columns}, at::TensorOptions().dtype(dtype).device(c10::kMeta));
  std::vector<double> sizes;
  for (const auto kernel : kernels) {
    sizes.push_back(static_cast<double>(GemmWeight(plain, kernel).bytes()) / static_cast<double>(plain.nbytes()));
  }
  return max_over_ranks(world, sizes);
}

constexpr double largest_automatic = 1.005;

}  // namespace

WeightForms weight_forms(const LoweredPlan& plan, c10::ScalarType dtype, const GemmChoice& choice) {
  WeightForms forms;
  const auto note = [&](std::int64_t rows, std::int64_t columns) {
    const auto kernels = choice.at(rows, columns);
    const auto bytes = rows * columns * static_cast<std::int64_t>(c10::elementSize(dtype));
    forms.largest_bytes = std::max(forms.largest_bytes, bytes);
    forms.kernels.emplace(to_string(kernels.forward));
    for (const auto kernel : {kernels.input_gradient, kernels.weight_gradient})
      forms.backward.emplace(to_string(kernel));
    return kernels;
  };
  const AllocationMeter meter(c10::kMeta);
  const ResidentWeights weights(plan, 0, {.dtype = dtype, .device = c10::kMeta, .kernel = note});
  forms.bytes = weights.bytes();
  forms.allocated_bytes = meter.current_bytes();
  return forms;
}

std::set<std::pair<std::int64_t, std::int64_t>> weight_shapes(const std::vector<LoweredPlan>& plans,
                                                              c10::ScalarType dtype) {
  std::set<std::pair<std::int64_t, std::int64_t>> shapes;
  const auto note = [&](std::int64_t rows, std::int64_t columns) {
    shapes.emplace(rows, columns);
    return GemmKernel::plain;
  };
  for (const auto& plan : plans) ResidentWeights(plan, 0, {.dtype = dtype, .device = c10::kMeta, .kernel = note});
  return shapes;
}

std::string_view to_string(GemmPolicy policy) {
  switch (policy) {
    case GemmPolicy::automatic: return "auto";
    case GemmPolicy::packed: return "packed";
    case GemmPolicy::in_place: return "in-place";
    case GemmPolicy::plain: return "plain";
  }
  return "unknown";
}

std::size_t clearly_fastest(const std::vector<std::vector<double>>& samples) {
  constexpr double clearly_faster = 0.97;
  std::size_t best = 0;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    const auto ratio = ratio_of_pairs(samples[i], samples[best]);
    if (ratio.interval && ratio.interval->high <= clearly_faster) best = i;
  }
  return best;
}

GemmKernels GemmChoice::at(std::int64_t rows, std::int64_t columns) const {
  const auto found = kernels_.find({rows, columns});
  return found == kernels_.end() ? GemmKernels() : found->second;
}

KernelChoice GemmChoice::as_function() const {
  return [copy = *this](std::int64_t rows, std::int64_t columns) { return copy.at(rows, columns); };
}

namespace {

// The samples of the slowest rank, sample by sample. Collective.
std::vector<std::vector<double>> slowest_samples(const std::vector<std::vector<double>>& mine, World& world) {
  std::vector<std::vector<double>> slowest;
  for (const auto& samples : mine) slowest.push_back(max_over_ranks(world, samples));
  return slowest;
}

/// Who chooses, and of what.
struct Choosing {
  GemmPolicy policy;
  std::vector<GemmKernel> kernels;  ///< in the order of preference
  c10::ScalarType dtype;
  World& world;
};

// Those whose form of the weight is not too large. Collective.
std::vector<GemmKernel> allowed_kernels(const Choosing& choosing, const ProductSize& size) {
  if (choosing.policy != GemmPolicy::automatic || choosing.kernels.size() == 1) return choosing.kernels;
  const auto sizes = relative_sizes(choosing.kernels, size.n, size.k, choosing.dtype, choosing.world);
  std::vector<GemmKernel> allowed;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] <= largest_automatic) allowed.push_back(choosing.kernels[i]);
  }
  return allowed;
}

// Nothing where a rank runs out of memory. Collective.
std::optional<GemmKernel> try_kernels(const Choosing& choosing, const std::vector<GemmKernel>& kernels,
                                      const ChosenGemm& of) {
  std::vector<std::vector<double>> samples;
  choosing.world.barrier();
  const bool failed = any_runs_out_of_memory(
      choosing.world, [&] { samples = time_kernels(kernels, of.gemm, of.size, choosing.dtype); });
  if (failed) return std::nullopt;
  return kernels[clearly_fastest(slowest_samples(samples, choosing.world))];
}

std::vector<LinearGemm> gemms_of(GemmPolicy policy) {
  if (policy == GemmPolicy::in_place) return linear_gemms();
  return {LinearGemm::forward};
}

}  // namespace

GemmChoice choose_kernels(GemmPolicy policy, const std::vector<LoweredPlan>& plans, std::int64_t tokens,
                          c10::ScalarType dtype, c10::Device device, World& world, KnownChoices& known) {
  std::vector<GemmKernel> kernels;
  agree(world, [&] { kernels = candidates(policy, dtype, device); });
  std::string names;
  for (const auto kernel : kernels) names += fmt::format("--gemm {}\n", to_string(kernel));
  require_same(world, names);
  const Choosing choosing{.policy = policy, .kernels = kernels, .dtype = dtype, .world = world};
  GemmChoice choice;
  for (const auto& [rows, columns] : weight_shapes(plans, dtype)) {
    for (const auto gemm : gemms_of(policy)) {
      const ChosenGemm of{.size = {.m = tokens, .n = rows, .k = columns}, .gemm = gemm};
      const auto found = known.find(of);
      if (found != known.end() && std::find(kernels.begin(), kernels.end(), found->second) != kernels.end()) {
        choice.set(rows, columns, gemm, found->second);
        continue;
      }
      const auto allowed = allowed_kernels(choosing, of.size);
      choice.set(rows, columns, gemm, allowed.front());
      if (allowed.size() == 1) continue;
      const auto fastest = try_kernels(choosing, allowed, of);
      if (!fastest) {
        choice.note_untried();
        continue;
      }
      known[of] = *fastest;
      choice.set(rows, columns, gemm, *fastest);
    }
  }
  return choice;
}

}  // namespace tpsp
