#include "tpsp/weights/data_parallel.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tpsp/core/error.h"
#include "tpsp/core/math.h"
#include "tpsp/core/memory_use.h"

namespace tpsp {

std::string_view to_string(ZeroStage stage) {
  switch (stage) {
    case ZeroStage::none: return "none";
    case ZeroStage::optimizer: return "optimizer";
    case ZeroStage::gradients: return "gradients";
    case ZeroStage::parameters: return "parameters";
  }
  return "unknown";
}

at::Tensor DataParallel::own_part(const at::Tensor& flat) const {
  const auto size = flat.numel() / group.size();
  return flat.narrow(0, group.rank() * size, size);
}

at::Tensor DataParallel::gathered(const at::Tensor& part, std::int64_t size, const std::string& module, Use use) const {
  Sharded shard{.local = part, .global = {size}, .placement = Placement::shard(0)};
  return redistribute(std::move(shard), Placement::replicate(), context(), module, use).local;
}

std::int64_t replica_batch(std::int64_t batch, int replicas, const std::string& where) {
  if (batch % replicas == 0) return batch / replicas;
  throw bad_input({.where = where,
                   .what = fmt::format("{} sequences do not divide over {} replicas", batch, replicas),
                   .why = "each takes equally many",
                   .remedy = "use a batch that is a multiple of the replicas"});
}

at::Tensor replica_sequences(const at::Tensor& all, const ProcessGroup& replicas) {
  const auto own = replica_batch(all.size(0), replicas.size());
  return all.narrow(0, replicas.rank() * own, own);
}

double sum_over_replicas(double loss, at::Device device, const DataParallel& replicas) {
  if (replicas.group.size() == 1) return loss;
  auto term = replicas.group.alloc_partial({1}, at::TensorOptions(at::kFloat).device(device));
  term.fill_(loss);
  Sharded sum{.local = std::move(term), .global = {1}, .placement = Placement::partial()};
  sum = redistribute(std::move(sum), Placement::replicate(), replicas.context(), "loss");
  return sum.local.is_meta() ? 0 : sum.local.item<double>();
}

at::Tensor FlatUnit::Part::of(const at::Tensor& flat) const {
  return flat.narrow(0, first, parameter.numel()).view(parameter.shape);
}

namespace {

// Empty outside blocks.
std::string block_of(const Module& module) {
  const auto size = module.name.size() - module.role.size();
  return module.role.empty() ? "" : module.name.substr(0, size - 1);
}

}  // namespace

std::vector<FlatUnit> flat_units(const LoweredPlan& plan, const DataParallel& replicas) {
  const bool one_at_a_time = replicas.stage >= ZeroStage::gradients;
  std::vector<FlatUnit> units;
  std::string last_block;
  for (auto& parameter : parameters_of(plan)) {
    const auto block = block_of(parameter.modules.front());
    if (units.empty() || (one_at_a_time && block != last_block)) {
      units.push_back({.name = block.empty() ? parameter.name : block, .parts = {}});
    }
    last_block = block;
    auto& unit = units.back();
    const auto first = std::exchange(unit.used, unit.used + parameter.numel());
    unit.parts.push_back({.parameter = std::move(parameter), .first = first});
  }
  for (auto& unit : units) unit.size = round_up(unit.used, replicas.group.size());
  return units;
}

FlatWeights::FlatWeights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe, const DataParallel& replicas)
    : replicas_(replicas), kernel_(recipe.kernel) {
  const MemoryScope scope(MemoryUse::weights);
  const bool is_divided = replicas.stage == ZeroStage::parameters;
  for (auto& layout : flat_units(plan, replicas)) {
    const auto size = is_divided ? layout.size / replicas.group.size() : layout.size;
    const auto begin = is_divided ? replicas.group.rank() * size : 0;
    const auto held = at::zeros({size}, at::TensorOptions(recipe.dtype).device(recipe.device));
    for (std::size_t i = 0; i < layout.parts.size(); ++i) {
      const auto& [parameter, first] = layout.parts[i];
      const auto made = make_parameter(parameter, plan, rank, recipe).flatten();
      const auto [from, to] = std::pair{std::max(begin, first), std::min(begin + size, first + parameter.numel())};
      if (from < to) held.narrow(0, from - begin, to - from).copy_(made.narrow(0, from - first, to - from));
      note_places(parameter, {.unit = units_.size(), .part = i, .rows = parameter.shape.front()});
    }
    units_.push_back({.layout = std::move(layout), .held = held});
  }
}

void FlatWeights::note_places(const Parameter& parameter, Place place) {
  places_[parameter.name] = place;
  if (!parameter.is_fused()) return;
  for (std::size_t i = 0; i < parameter.modules.size(); ++i) {
    place.rows = parameter.rows[i];
    places_[parameter.modules[i].name] = place;
    place.first += place.rows;
  }
}

at::Tensor FlatWeights::whole(std::size_t unit) const {
  const auto& [layout, held] = units_[unit];
  if (replicas_.stage != ZeroStage::parameters) return held;
  if (gathered_unit_ != unit) {
    gathered_unit_.reset();
    gathered_.reset();
    const MemoryScope scope(MemoryUse::unit);
    gathered_ = replicas_.gathered(held, layout.size, parameters_module);
    gathered_unit_ = unit;
  }
  return gathered_;
}

at::Tensor FlatWeights::parameter(const std::string& module) const {
  const auto& place = places_.at(module);
  return part_at(place).of(whole(place.unit)).narrow(0, place.first, place.rows);
}

at::Tensor FlatWeights::get(const std::string& module) const { return parameter(module); }

GemmWeight FlatWeights::product_of(const std::string& parameter_name) const {
  return make_gemm_weight(parameter(parameter_name), kernel_);
}

std::shared_ptr<const GemmWeight> FlatWeights::product(const std::string& module) const {
  return std::make_shared<const GemmWeight>(product_of(module));
}

std::shared_ptr<const FusedWeight> FlatWeights::fused(const std::string& container) const {
  const auto found = places_.find(container);
  if (found == places_.end()) return nullptr;
  return std::make_shared<const FusedWeight>(FusedWeight{product_of(container), part_at(found->second).parameter.rows});
}

std::map<std::string, at::Tensor> FlatWeights::parameters() const {
  const bool holds_what_it_updates = replicas_.stage == ZeroStage::none || replicas_.stage == ZeroStage::parameters;
  std::map<std::string, at::Tensor> parameters;
  for (const auto& [layout, held] : units_) {
    parameters.emplace(layout.name, holds_what_it_updates ? held : replicas_.own_part(held));
  }
  return parameters;
}

void FlatWeights::release() {
  gathered_unit_.reset();
  gathered_.reset();
}

void FlatWeights::share_updates() {
  release();
  if (replicas_.stage == ZeroStage::none || replicas_.stage == ZeroStage::parameters) return;
  for (const auto& [layout, held] : units_) {
    redistribute({.local = replicas_.own_part(held),
                  .global = {layout.size},
                  .placement = Placement::shard(0),
                  .gather_slot = held},
                 Placement::replicate(), replicas_.context(), parameters_module);
  }
}

std::int64_t FlatWeights::bytes() const {
  std::int64_t total = 0;
  for (const auto& unit : units_) total += static_cast<std::int64_t>(unit.held.nbytes());
  return total;
}

std::unique_ptr<TrainableWeights> make_trainable_weights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe,
                                                         const DataParallel* replicas) {
  if (replicas == nullptr) return std::make_unique<ResidentWeights>(plan, rank, recipe);
  return std::make_unique<FlatWeights>(plan, rank, recipe, *replicas);
}

}  // namespace tpsp
