#include "tpsp/weights/weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <utility>

#include "fill.h"
#include "tpsp/core/activity.h"
#include "tpsp/core/error.h"
#include "tpsp/core/math.h"
#include "tpsp/core/memory_use.h"

namespace tpsp {
namespace {

constexpr std::uint64_t golden_gamma = 0x9E3779B97F4A7C15;

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// FNV-1a, then mixed with the seed: the start of a parameter's own SplitMix64 stream.
std::uint64_t stream_of(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return mix(hash + mix(seed + golden_gamma));
}

std::uint64_t bits_at(std::uint64_t stream, std::int64_t index) {
  return mix(stream + (static_cast<std::uint64_t>(index) + 1) * golden_gamma);
}

struct Distribution {
  float offset;
  float scale;  ///< of the signed 24-bit integer
};

Distribution distribution_of(const Module& module) {
  constexpr float unit = 0x1p-23F;
  if (module.kind == ModuleKind::norm) return {.offset = 1.0F, .scale = 0x1p-26F};
  if (module.kind == ModuleKind::embedding) return {.offset = 0.0F, .scale = unit};
  const auto fan_in = static_cast<double>(module.dims.back().size);
  return {.offset = 0.0F, .scale = static_cast<float>(std::sqrt(3.0 / fan_in)) * unit};
}

// The range of global indices that a block covers in one dimension; `padded` counts what hangs over the end.
struct Span {
  std::int64_t begin = 0;
  std::int64_t length = 0;
  std::int64_t padded = 0;
};

Span span_of(const Module& module, int dim, const WeightShard& shard) {
  const auto size = module.dims.at(static_cast<std::size_t>(dim)).size;
  if (shard.dim != dim) return {.begin = 0, .length = size, .padded = 0};
  const auto block = ceil_divide(size, shard.ranks);
  const auto begin = std::min(size, shard.rank * block);
  const auto length = std::min(size - begin, block);
  return {.begin = begin, .length = length, .padded = block - length};
}

// What the shard has of the weight, without padding. A vector is one row.
WeightBlock block_of(const Module& module, const WeightShard& shard, std::uint64_t seed) {
  const bool is_vector = module.dims.size() == 1;
  const auto rows = is_vector ? Span{.begin = 0, .length = 1} : span_of(module, 0, shard);
  const auto columns = span_of(module, is_vector ? 0 : 1, shard);
  const auto row_stride = module.dims.back().size;
  const auto [offset, scale] = distribution_of(module);
  return {.rows = rows.length,
          .columns = columns.length,
          .stride = columns.length + columns.padded,
          .generator = stream_of(seed, module.name),
          .first = rows.begin * row_stride + columns.begin,
          .row_stride = row_stride,
          .offset = offset,
          .scale = scale};
}

void fill_row(float* out, std::int64_t first, const WeightBlock& block) {
  for (std::int64_t i = 0; i < block.columns; ++i) {
    const auto integer = static_cast<std::int32_t>(bits_at(block.generator, first + i) >> 40) - (1 << 23);
    out[i] = block.offset + block.scale * static_cast<float>(integer);
  }
}

void fill_on_host(const at::Tensor& weight, const WeightBlock& block) {
  auto* const out = weight.mutable_data_ptr<float>();
  at::parallel_for(0, block.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (auto row = begin; row < end; ++row) {
      fill_row(out + row * block.stride, block.first + row * block.row_stride, block);
    }
  });
}

}  // namespace

std::vector<std::int64_t> local_shape(const Module& module, const WeightShard& shard) {
  std::vector<std::int64_t> shape;
  for (int dim = 0; dim < static_cast<int>(module.dims.size()); ++dim) {
    const auto span = span_of(module, dim, shard);
    shape.push_back(span.length + span.padded);
  }
  return shape;
}

at::Tensor make_weight(const Module& module, const WeightShard& shard, const WeightRecipe& recipe) {
  const auto shape = local_shape(module, shard);
  const auto options = at::TensorOptions(recipe.dtype).device(recipe.device);
  if (recipe.device.is_meta()) return at::empty(shape, options);
  const Doing doing("making the weight", module.name);
  const auto block = block_of(module, shard, recipe.seed);
  const auto make = [&](const at::TensorOptions& as) {
    return module.dims[0].may_be_padded ? at::zeros(shape, as) : at::empty(shape, as);
  };
#ifdef TPSP_WITH_CUDA
  if (recipe.device.is_cuda()) {
    auto weight = make(options);
    fill_on_gpu(weight, block);
    return weight;
  }
#endif
  const auto weight = make(at::kFloat);
  fill_on_host(weight, block);
  return weight.to(recipe.dtype);
}

at::Tensor make_tokens(std::uint64_t seed, std::int64_t batch, std::int64_t seq, std::int64_t vocabulary) {
  auto tokens = at::empty({batch, seq}, at::kLong);
  const auto stream = stream_of(seed, "tokens");
  auto* out = tokens.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < batch * seq; ++i) {
    out[i] = static_cast<std::int64_t>(bits_at(stream, i) % static_cast<std::uint64_t>(vocabulary));
  }
  return tokens;
}

namespace {

WeightShard shard_of(const Module& module, const LoweredPlan& plan, int rank) {
  return {.dim = plan.at(module.name).weight_dim, .rank = rank, .ranks = plan.world};
}

Parameter parameter_of(const std::string& name, std::vector<Module> modules, const LoweredPlan& plan) {
  Parameter parameter{.name = name, .modules = std::move(modules), .rows = {}, .shape = {}};
  for (const auto& module : parameter.modules) {
    parameter.shape = local_shape(module, shard_of(module, plan, 0));
    parameter.rows.push_back(parameter.shape.front());
  }
  parameter.shape.front() = std::accumulate(parameter.rows.begin(), parameter.rows.end(), std::int64_t{0});
  return parameter;
}

}  // namespace

GemmWeight make_gemm_weight(at::Tensor weight, const KernelChoice& kernel) {
  const auto chosen = kernel ? kernel(weight.size(0), weight.size(1)) : GemmKernels();
  return {std::move(weight), chosen};
}

std::int64_t Parameter::numel() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<Parameter> parameters_of(const LoweredPlan& plan) {
  std::map<std::string, const Module*> by_name;
  for (const auto& module : plan.modules) by_name.emplace(module.name, &module);
  std::vector<Parameter> parameters;
  std::set<std::string> fused;
  for (const auto& module : plan.modules) {
    if (fused.contains(module.name)) continue;
    if (module.kind != ModuleKind::container) {
      parameters.push_back(parameter_of(module.name, {module}, plan));
    } else if (plan.fuses(module)) {
      std::vector<Module> readers;
      for (const auto& entry : module.entries) readers.push_back(*by_name.at(entry));
      parameters.push_back(parameter_of(module.name, std::move(readers), plan));
      fused.insert(module.entries.begin(), module.entries.end());
    }
  }
  return parameters;
}

at::Tensor make_parameter(const Parameter& parameter, const LoweredPlan& plan, int rank, const WeightRecipe& recipe) {
  const auto make = [&](const Module& module) { return make_weight(module, shard_of(module, plan, rank), recipe); };
  if (!parameter.is_fused()) return make(parameter.modules.front());
  auto together = at::empty(parameter.shape, at::TensorOptions(recipe.dtype).device(recipe.device));
  std::int64_t first = 0;
  for (std::size_t i = 0; i < parameter.modules.size(); ++i) {
    together.narrow(0, first, parameter.rows[i]).copy_(make(parameter.modules[i]));
    first += parameter.rows[i];
  }
  return together;
}

ResidentWeights::ResidentWeights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe) {
  const MemoryScope scope(MemoryUse::weights);
  for (const auto& parameter : parameters_of(plan)) {
    auto weight = make_parameter(parameter, plan, rank, recipe);
    if (parameter.is_fused()) {
      fused_.emplace(parameter.name, std::make_shared<const FusedWeight>(FusedWeight{
                                         make_gemm_weight(std::move(weight), recipe.kernel), parameter.rows}));
      for (std::size_t i = 0; i < parameter.modules.size(); ++i) {
        within_[parameter.modules[i].name] = {.container = parameter.name, .index = i};
      }
    } else if (parameter.modules.front().kind == ModuleKind::linear) {
      products_.emplace(parameter.name,
                        std::make_shared<const GemmWeight>(make_gemm_weight(std::move(weight), recipe.kernel)));
    } else {
      tables_.emplace(parameter.name, std::move(weight));
    }
  }
}

std::shared_ptr<const FusedWeight> ResidentWeights::fused(const std::string& container) const {
  const auto found = fused_.find(container);
  return found == fused_.end() ? nullptr : found->second;
}

std::map<std::string, at::Tensor> ResidentWeights::parameters() const {
  auto parameters = tables_;
  for (const auto& [name, product] : products_) parameters.emplace(name, product->plain());
  for (const auto& [name, fused] : fused_) parameters.emplace(name, fused->weight.plain());
  for (const auto& [name, parameter] : parameters) {
    if (!parameter.defined())
      throw internal_error({.where = name, .what = "its weight is packed and can not be written"});
  }
  return parameters;
}

at::Tensor ResidentWeights::parameter(const std::string& module) const {
  const auto within = within_.find(module);
  if (within == within_.end()) {
    const auto table = tables_.find(module);
    return table != tables_.end() ? table->second : products_.at(module)->plain();
  }
  const auto& [container, index] = within->second;
  const auto& [weight, rows] = *fused_.at(container);
  const auto first = std::accumulate(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(index), std::int64_t{0});
  return weight.plain().narrow(0, first, rows[index]);
}

std::int64_t ResidentWeights::bytes() const {
  std::int64_t total = 0;
  for (const auto& [name, table] : tables_) total += static_cast<std::int64_t>(table.nbytes());
  for (const auto& [name, product] : products_) total += product->bytes();
  for (const auto& [name, fused] : fused_) total += fused->weight.bytes();
  return total;
}

}  // namespace tpsp
