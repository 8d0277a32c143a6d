#include "tpsp/weights/gradients.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <set>

#include "tpsp/core/error.h"
#include "tpsp/core/memory_use.h"

namespace tpsp {
namespace {

at::TensorOptions options_of(const Parameter& parameter, const at::TensorOptions& options) {
  return parameter.modules.front().kind == ModuleKind::norm ? options.dtype(at::kFloat) : options;
}

const FlatUnit::Part& part_of(const FlatUnit& unit, const std::string& parameter) {
  return *std::find_if(unit.parts.begin(), unit.parts.end(),
                       [&](const auto& part) { return part.parameter.name == parameter; });
}

}  // namespace

Gradients::Gradients(const LoweredPlan& plan, at::ScalarType dtype, at::Device device, const DataParallel* replicas)
    : options_(at::TensorOptions(dtype).device(device)) {
  const MemoryScope scope(MemoryUse::gradients);
  for (const auto& parameter : parameters_of(plan)) {
    note_fused(parameter);
    if (replicas == nullptr)
      gradients_[parameter.name].value = at::empty(parameter.shape, options_of(parameter, options_));
  }
  if (replicas == nullptr) return;
  replicas_.emplace(*replicas);
  make_flat(plan);
}

void Gradients::note_fused(const Parameter& parameter) {
  if (!parameter.is_fused()) return;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < parameter.modules.size(); ++i) {
    const auto count = parameter.rows[i];
    fused_[parameter.modules[i].name] = {.container = parameter.name, .first = first, .count = count};
    first += count;
  }
}

void Gradients::make_flat(const LoweredPlan& plan) {
  for (auto& layout : flat_units(plan, *replicas_)) {
    for (const auto& part : layout.parts) unit_of_[part.parameter.name] = units_.size();
    units_.push_back({.layout = std::move(layout), .sum = {}});
  }
  if (takes_one_unit()) {
    for (auto& [layout, sum, started] : units_) sum = at::empty({layout.size / replicas_->group.size()}, options_);
  } else {
    enter(0);
    units_.front().sum = replicas_->stage == ZeroStage::none ? whole_ : replicas_->own_part(whole_);
  }
}

Gradient& Gradients::at(const std::string& module) {
  if (takes_one_unit()) enter(unit_of_.at(module));
  return gradients_.at(module);
}

// Allocates its gradients.
void Gradients::enter(std::size_t index) {
  if (entered_ == index) return;
  finish_backward();
  const MemoryScope scope(takes_one_unit() ? MemoryUse::unit : MemoryUse::gradients);
  const auto& layout = units_[index].layout;
  whole_ =
      takes_one_unit() ? replicas_->group.alloc_partial({layout.size}, options_) : at::empty({layout.size}, options_);
  for (const auto& part : layout.parts) {
    const auto options = options_of(part.parameter, options_);
    const bool rounds = options.dtype() != options_.dtype();
    gradients_[part.parameter.name].value = rounds ? at::empty(part.parameter.shape, options) : part.of(whole_);
  }
  entered_ = index;
}

// All that is reduced, in its place: the gradient of what the backward has not met is 0.
void Gradients::pack() {
  const auto& layout = units_[*entered_].layout;
  for (const auto& part : layout.parts) {
    const auto& gradient = gradients_.at(part.parameter.name);
    const auto place = part.of(whole_);
    if (!gradient.started) {
      place.zero_();
    } else if (!gradient.value.is_alias_of(whole_)) {
      place.copy_(gradient.value);
    }
  }
  whole_.narrow(0, layout.used, layout.size - layout.used).zero_();
}

// This rank's part of the sum.
at::Tensor Gradients::scattered() {
  Sharded partial{.local = whole_, .global = {whole_.numel()}, .placement = Placement::partial()};
  return redistribute(std::move(partial), Placement::shard(0), replicas_->context(), gradients_module).local;
}

void Gradients::finish_backward() {
  if (!takes_one_unit() || !entered_) return;
  pack();
  auto& [layout, sum, started] = units_[*entered_];
  if (const auto mine = scattered(); started) {
    sum.add_(mine);
  } else {
    sum.copy_(mine);
  }
  started = true;
  for (const auto& part : layout.parts) {
    auto& gradient = gradients_.at(part.parameter.name);
    gradient.value.reset();
    gradient.started = false;
  }
  whole_.reset();
  entered_.reset();
}

// In place, since nothing else of this size should have to fit.
void Gradients::reduce_whole() {
  pack();
  const auto& replicas = *replicas_;
  if (replicas.group.size() == 1) return;
  if (replicas.stage == ZeroStage::optimizer) {
    units_.front().sum.copy_(scattered());
    return;
  }
  const EventScope scope(replicas.events, {.phase = Phase::move,
                                           .module = gradients_module,
                                           .transition = Transition::all_reduce,
                                           .from = Placement::partial(),
                                           .to = Placement::replicate(),
                                           .bytes = static_cast<std::int64_t>(whole_.nbytes())});
  replicas.group.all_reduce(whole_, whole_);
}

void Gradients::start_step() {
  for (auto& [name, gradient] : gradients_) gradient.started = gradient.partial = false;
  for (auto& unit : units_) unit.started = false;
  finished_ = false;
  release();
}

void Gradients::release() {
  gathered_unit_.reset();
  gathered_.reset();
}

void Gradients::spoil() {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (auto& [name, gradient] : gradients_) {
    if (gradient.value.defined()) gradient.value.fill_(nan);
  }
  for (auto& unit : units_) unit.sum.fill_(nan);
}

namespace {

void sum_over_ranks(const at::Tensor& values, const Context& context) {
  Sharded partial{.local = context.tp.alloc_partial({1, 1, values.numel()}, values.options()),
                  .global = {1, 1, values.numel()},
                  .placement = Placement::partial()};
  partial.local.view(values.sizes()).copy_(values);
  const auto sum = redistribute(std::move(partial), Placement::replicate(), context, gradients_module);
  values.copy_(sum.local.view(values.sizes()));
}

void sum_together(const std::vector<at::Tensor>& values, const Context& context) {
  if (values.empty()) return;
  const auto together = at::cat(values);
  if (together.numel() == 0) return;
  sum_over_ranks(together, context);
  std::int64_t first = 0;
  for (const auto& value : values) {
    value.copy_(together.narrow(0, first, value.numel()));
    first += value.numel();
  }
}

}  // namespace

void Gradients::finish_step(const Context& context) {
  finish_backward();
  if (replicas_ && !takes_one_unit()) reduce_whole();
  for (auto& unit : units_) {
    if (takes_one_unit() && !unit.started) unit.sum.zero_();
  }
  const auto alone = context.without_saved();
  std::vector<at::Tensor> vectors;
  for (auto& [name, gradient] : gradients_) {
    if (!gradient.partial) continue;
    gradient.partial = false;
    const auto value = replicas_ ? held_of_sum(name) : gradient.value;
    if (value.dim() == 1) {
      vectors.push_back(value);
    } else {
      sum_over_ranks(value, alone);
    }
  }
  sum_together(vectors, alone);
  finished_ = true;
}

// The elements of a parameter that this rank has in its sum, perhaps none: the same on all ranks with one model.
at::Tensor Gradients::held_of_sum(const std::string& name) const {
  const auto& [layout, sum, started] = units_[unit_of_.at(name)];
  const auto& part = part_of(layout, name);
  const auto begin = replicas_->stage == ZeroStage::none ? 0 : replicas_->group.rank() * sum.numel();
  const auto within = [&, end = begin + sum.numel()](std::int64_t element) { return std::clamp(element, begin, end); };
  const auto first = within(part.first);
  return sum.narrow(0, first - begin, within(part.first + part.parameter.numel()) - first);
}

// In memory of this rank's own: what peers share is not to be held between two steps.
at::Tensor Gradients::whole_of_sum(const std::string& name) const {
  const auto index = unit_of_.at(name);
  const auto& [layout, sum, started] = units_[index];
  if (gathered_unit_ != index) {
    gathered_.reset();
    const bool is_divided = replicas_->stage != ZeroStage::none;
    gathered_ = is_divided ? replicas_->gathered(sum, layout.size, gradients_module, Use::write) : sum;
    gathered_unit_ = index;
  }
  return part_of(layout, name).of(gathered_);
}

at::Tensor Gradients::of(const std::string& module) const {
  const auto whole = [&](const std::string& name) {
    return replicas_ ? whole_of_sum(name) : gradients_.at(name).value;
  };
  const auto fused = fused_.find(module);
  if (fused == fused_.end()) return whole(module);
  const auto& rows = fused->second;
  return whole(rows.container).narrow(0, rows.first, rows.count);
}

bool Gradients::is_finished(const std::string& module) const {
  if (replicas_) return finished_;
  const auto fused = fused_.find(module);
  const auto& gradient = gradients_.at(fused == fused_.end() ? module : fused->second.container);
  return gradient.started && !gradient.partial;
}

at::Tensor Gradients::reduced(const std::string& name) const {
  if (!replicas_) return gradients_.at(name).value;
  const auto unit =
      std::find_if(units_.begin(), units_.end(), [&](const Unit& one) { return one.layout.name == name; });
  return unit->sum;
}

std::int64_t Gradients::bytes() const {
  std::set<const void*> counted;
  std::int64_t total = 0;
  const auto add = [&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    const auto& storage = tensor.storage();
    if (counted.insert(storage.unsafeGetStorageImpl()).second) total += static_cast<std::int64_t>(storage.nbytes());
  };
  for (const auto& [name, gradient] : gradients_) add(gradient.value);
  for (const auto& unit : units_) add(unit.sum);
  return total;
}

at::Tensor gathered_gradient(const Gradients& gradients, const LoweredPlan& plan, const std::string& module,
                             const Context& context) {
  if (!gradients.is_finished(module)) {
    throw internal_error({.where = module, .what = "its gradient is not finished and can not be gathered"});
  }
  const auto& named = *std::find_if(plan.modules.begin(), plan.modules.end(),
                                    [&](const Module& candidate) { return candidate.name == module; });
  const auto dim = plan.at(module).weight_dim;
  auto whole = gradients.of(module);
  if (dim) {
    auto rows = whole.unsqueeze(1);  // as of [seq, batch, feature]
    auto sizes = rows.sizes().vec();
    const auto sharded_dim = *dim == 0 ? seq_dim : feature_dim;
    sizes.at(static_cast<std::size_t>(sharded_dim)) *= plan.world;
    const auto full =
        redistribute({.local = std::move(rows), .global = std::move(sizes), .placement = Placement::shard(sharded_dim)},
                     Placement::replicate(), context.without_saved(), gradients_module, Use::write);
    whole = full.local.squeeze(1);
  }
  for (std::size_t i = 0; i < named.dims.size(); ++i) {
    whole = whole.narrow(static_cast<std::int64_t>(i), 0, named.dims[i].size);
  }
  return dim && plan.world > 1 ? whole.contiguous() : whole.clone(at::MemoryFormat::Contiguous);
}

}  // namespace tpsp
