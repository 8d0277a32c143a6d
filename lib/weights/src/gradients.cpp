#include "tpsp/weights/gradients.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>

#include "tpsp/core/error.h"
#include "tpsp/core/memory_use.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

Gradients::Gradients(const LoweredPlan& plan, int rank, at::ScalarType dtype, at::Device device) {
  const MemoryScope scope(MemoryUse::gradients);
  const auto shape_of = [&](const Module& module) {
    return local_shape(module, {.dim = plan.at(module.name).weight_dim, .rank = rank, .ranks = plan.world});
  };
  const auto options = at::TensorOptions(dtype).device(device);
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& module : plan.modules) {
    if (module.kind != ModuleKind::container) shapes.emplace(module.name, shape_of(module));
  }
  for (const auto& module : plan.modules) {
    if (module.kind == ModuleKind::container) {
      if (!plan.fuses(module)) continue;
      std::int64_t rows = 0;
      for (const auto& entry : module.entries) {
        fused_[entry] = {.container = module.name, .first = rows, .count = shapes.at(entry).front()};
        rows += shapes.at(entry).front();
      }
      gradients_[module.name].value = at::empty({rows, shapes.at(module.entries.front()).back()}, options);
    } else if (!fused_.contains(module.name)) {
      const auto of_dtype = module.kind == ModuleKind::norm ? options.dtype(at::kFloat) : options;
      gradients_[module.name].value = at::empty(shapes.at(module.name), of_dtype);
    }
  }
}

void Gradients::start_step() {
  for (auto& [name, gradient] : gradients_) gradient.started = gradient.partial = false;
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

}  // namespace

void Gradients::finish_step(const Context& context) {
  const auto alone = context.without_saved();
  std::vector<Gradient*> of_norms;
  for (auto& [name, gradient] : gradients_) {
    if (!gradient.partial) continue;
    gradient.partial = false;
    if (gradient.value.dim() == 1) {
      of_norms.push_back(&gradient);
    } else {
      sum_over_ranks(gradient.value, alone);
    }
  }
  if (of_norms.empty()) return;
  std::vector<at::Tensor> values;
  std::transform(of_norms.begin(), of_norms.end(), std::back_inserter(values),
                 [](const Gradient* g) { return g->value; });
  const auto together = at::stack(values);
  sum_over_ranks(together, alone);
  for (std::size_t i = 0; i < of_norms.size(); ++i) of_norms[i]->value.copy_(together[static_cast<std::int64_t>(i)]);
}

at::Tensor Gradients::of(const std::string& module) const {
  const auto fused = fused_.find(module);
  if (fused == fused_.end()) return gradients_.at(module).value;
  const auto& rows = fused->second;
  return gradients_.at(rows.container).value.narrow(0, rows.first, rows.count);
}

bool Gradients::is_finished(const std::string& module) const {
  const auto fused = fused_.find(module);
  const auto& gradient = gradients_.at(fused == fused_.end() ? module : fused->second.container);
  return gradient.started && !gradient.partial;
}

std::int64_t Gradients::bytes() const {
  std::int64_t total = 0;
  for (const auto& [name, gradient] : gradients_) total += static_cast<std::int64_t>(gradient.value.nbytes());
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
