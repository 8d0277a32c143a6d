#include "tpsp/weights/data_parallel.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

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

std::int64_t replica_batch(std::int64_t batch, int replicas) {
  if (batch % replicas == 0) return batch / replicas;
  throw bad_input({.where = "batch",
                   .what = fmt::format("{} sequences do not divide over {} replicas", batch, replicas),
                   .why = "each takes equally many",
                   .remedy = "use a multiple of the replicas"});
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

namespace {

at::Tensor gathered(Sharded shard, const DataParallel& replicas) {
  return redistribute(std::move(shard), Placement::replicate(), replicas.context(), parameters_module).local;
}

}  // namespace

FlatWeights::FlatWeights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe, const DataParallel& replicas)
    : replicas_(replicas) {
  const MemoryScope scope(MemoryUse::weights);
  for (auto& layout : flat_units(plan, replicas)) {
    auto held = at::zeros({layout.size}, at::TensorOptions(recipe.dtype).device(recipe.device));
    for (std::size_t i = 0; i < layout.parts.size(); ++i) {
      const auto& part = layout.parts[i];
      part.of(held).copy_(make_parameter(part.parameter, plan, rank, recipe));
      places_[part.parameter.name] = {.unit = units_.size(), .part = i};
    }
    if (replicas.stage == ZeroStage::parameters) held = replicas.own_part(held).clone();
    units_.push_back({.layout = std::move(layout), .held = std::move(held)});
  }
}

at::Tensor FlatWeights::whole(std::size_t unit) const {
  const auto& [layout, held] = units_[unit];
  if (replicas_.stage != ZeroStage::parameters) return held;
  if (gathered_unit_ != unit) {
    gathered_unit_.reset();
    gathered_.reset();
    const MemoryScope scope(MemoryUse::weights);
    gathered_ = gathered({.local = held, .global = {layout.size}, .placement = Placement::shard(0)}, replicas_);
    gathered_unit_ = unit;
  }
  return gathered_;
}

at::Tensor FlatWeights::get(const std::string& module) const {
  const auto& place = places_.at(module);
  return part_at(place).of(whole(place.unit));
}

std::shared_ptr<const GemmWeight> FlatWeights::product(const std::string& module) const {
  return std::make_shared<const GemmWeight>(get(module), GemmKernel::plain);
}

std::shared_ptr<const FusedWeight> FlatWeights::fused(const std::string& container) const {
  const auto found = places_.find(container);
  if (found == places_.end()) return nullptr;
  return std::make_shared<const FusedWeight>(
      FusedWeight{{get(container), GemmKernel::plain}, part_at(found->second).parameter.rows});
}

std::map<std::string, at::Tensor> FlatWeights::parameters() const {
  const bool holds_what_it_updates = replicas_.stage == ZeroStage::none || replicas_.stage == ZeroStage::parameters;
  std::map<std::string, at::Tensor> parameters;
  for (const auto& [layout, held] : units_) {
    parameters.emplace(layout.name, holds_what_it_updates ? held : replicas_.own_part(held));
  }
  return parameters;
}

void FlatWeights::finish_step() {
  gathered_unit_.reset();
  gathered_.reset();
  if (replicas_.stage == ZeroStage::none || replicas_.stage == ZeroStage::parameters) return;
  for (const auto& [layout, held] : units_) {
    gathered({.local = replicas_.own_part(held),
              .global = {layout.size},
              .placement = Placement::shard(0),
              .gather_slot = held},
             replicas_);
  }
}

std::int64_t FlatWeights::bytes() const {
  std::int64_t total = 0;
  for (const auto& unit : units_) total += static_cast<std::int64_t>(unit.held.nbytes());
  return total;
}

}  // namespace tpsp
