#include "tpsp/nn/layers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "tpsp/core/error.h"
#include "tpsp/core/math.h"
#include "tpsp/core/memory_use.h"
#include "tpsp/nn/ops.h"

namespace tpsp::nn {
namespace {

double flops_of(const at::Tensor& input, const GemmWeight& weight) {
  return product_flops(input.numel() / weight.columns(), weight.rows(), weight.columns());
}

// Throws where a rule's in= is not the placement that arrives.
void check_arrival(Placement arriving, const ModulePlan& plan, const std::string& module) {
  if (!plan.required_input || *plan.required_input == arriving) return;
  throw bad_input({.where = plan.rule,
                   .what = fmt::format("{}: the rule says in={}, and {} arrives", module,
                                       to_string(*plan.required_input), to_string(arriving)),
                   .remedy = "correct in=, or leave it out: the placement travels with the tensor"});
}

// `[seq, batch]`, filled up with 0.
at::Tensor padded_ids(const at::Tensor& tokens, std::int64_t seq) {
  return at::constant_pad_nd(tokens, {0, seq - tokens.size(1)}).t().contiguous();
}

Phase phase_of(const std::vector<at::Tensor>& terms) { return terms.size() > 1 ? Phase::fused_add_norm : Phase::norm; }

}  // namespace

std::int64_t Layers::padded_seq(std::int64_t seq) const {
  return plan_.shards_sequence() ? round_up(seq, context_.tp.size()) : seq;
}

Sharded Layers::arrive(Sharded value, const std::string& module) const {
  const auto& plan = plan_.at(module);
  check_arrival(value.placement, plan, module);
  const auto wanted = plan.input.value_or(value.placement);
  return redistribute(std::move(value), wanted, context_, module);
}

Sharded Layers::leave(Sharded value, const std::string& module, Use use) const {
  return redistribute(std::move(value), plan_.at(module).output, context_, module, use);
}

Sharded Layers::redistribute_backward(Sharded gradient, const std::string& module, Use use) const {
  return tpsp::redistribute_backward(std::move(gradient), context_, module, use);
}

Sharded Layers::embedding(const at::Tensor& tokens, const std::string& module) const {
  const auto& plan = plan_.at(module);
  check_arrival(Placement::replicate(), plan, module);
  const auto seq = padded_seq(tokens.size(1));
  const auto ids = padded_ids(tokens, seq);
  const auto table = weights_.get(module);
  const auto first_row = plan.weight_dim == 0 ? context_.tp.rank() * table.size(0) : 0;
  auto stream = new_sharded({seq, tokens.size(0), global_size(plan, 1, table.size(1))}, plan.computed, plan.output,
                            table.options(), context_.tp);
  ops::embedding(table, ids, first_row, stream.local);
  return leave(std::move(stream), module, Use::write);
}

void Layers::embedding_backward(Sharded gradient, const at::Tensor& tokens, const std::string& module) const {
  const auto& plan = plan_.at(module);
  gradient = redistribute_backward(std::move(gradient), module);
  auto& table = gradients_->at(module);
  if (!table.started) table.value.zero_();
  table.started = true;
  const auto first_row = plan.weight_dim == 0 ? context_.tp.rank() * table.value.size(0) : 0;
  ops::embedding_backward(gradient.local, padded_ids(tokens, gradient.global[0]), first_row, table.value);
}

// What `local` elements of this rank's weight along `dim` are on all ranks together.
std::int64_t Layers::global_size(const ModulePlan& plan, int dim, std::int64_t local) const {
  return plan.weight_dim == dim ? local * context_.tp.size() : local;
}

Sharded Layers::gemm(const Sharded& value, const std::string& module, Placement next) const {
  const auto& plan = plan_.at(module);
  const auto weight = weights_.product(module);
  const auto features = global_size(plan, 0, weight->rows());
  const EventScope scope(context_.events,
                         {.phase = Phase::gemm, .module = module, .flops = flops_of(value.local, *weight)});
  auto result = new_sharded({value.global[0], value.global[1], features}, plan.computed, next, value.local.options(),
                            context_.tp);
  ops::linear(value.local, *weight, result.local);
  return result;
}

void Layers::weight_backward(const Sharded& gradient, const Sharded& input, const std::string& module) const {
  // The unit before may be reduced here, which is to be done when the next unit's weights are gathered.
  gradients_->at(module);
  weight_gradient(gradient, input, *weights_.product(module), module);
}

void Layers::weight_gradient(const Sharded& gradient, const Sharded& input, const GemmWeight& weight,
                             const std::string& name) const {
  auto& [value, started, partial] = gradients_->at(name);
  const EventScope scope(context_.events,
                         {.phase = Phase::gemm, .module = name, .flops = flops_of(input.local, weight)});
  ops::linear_backward_weight(gradient.local, weight, input.local, value, started);
  started = true;
  partial = input.placement.is_shard(seq_dim) && context_.tp.size() > 1;
}

Sharded Layers::input_backward(const Sharded& gradient, const std::string& module) const {
  return input_gradient(gradient, *weights_.product(module), module, plan_.at(module));
}

// A column-wise module leaves it partial, each rank having the part of its output features; a row-wise one leaves a
// shard of the features.
Sharded Layers::input_gradient(const Sharded& gradient, const GemmWeight& weight, const std::string& name,
                               const ModulePlan& plan) const {
  const auto tokens = gradient.local.size(0) * gradient.local.size(1);
  const auto flops = product_flops(tokens, weight.rows(), weight.columns());
  const EventScope scope(context_.events, {.phase = Phase::gemm, .module = name, .flops = flops});
  auto placement = gradient.placement;
  if (plan.weight_dim == 0) placement = Placement::partial();
  if (plan.weight_dim == 1) placement = Placement::shard(feature_dim);
  auto result = new_sharded({gradient.global[0], gradient.global[1], global_size(plan, 1, weight.columns())}, placement,
                            placement, gradient.local.options(), context_.tp);
  ops::linear_backward_input(gradient.local, weight, result.local);
  return result;
}

namespace {

// The parts side by side, without a copy where they are all of one tensor in this order.
at::Tensor side_by_side(const std::vector<Sharded>& parts) {
  std::int64_t width = 0;
  bool together = true;
  for (const auto& part : parts) {
    const auto& first = parts.front().local;
    together = together && part.local.is_alias_of(first) && part.local.strides() == first.strides() &&
               part.local.storage_offset() == first.storage_offset() + width;
    width += part.local.size(2);
  }
  const auto& first = parts.front().local;
  together = together && first.stride(2) == 1 && first.stride(1) == width && first.stride(0) == first.size(1) * width;
  if (together) return first.as_strided({first.size(0), first.size(1), width}, first.strides());
  std::vector<at::Tensor> tensors;
  for (const auto& part : parts) tensors.push_back(part.local);
  return at::cat(tensors, 2);
}

// Gradients of one value that lie alike.
void add_to(std::optional<Sharded>& sum, Sharded value) {
  if (sum) {
    sum->local.add_(value.local);
  } else {
    sum = std::move(value);
  }
}

}  // namespace

Sharded Layers::gemms_backward(std::vector<Sharded> gradients, const InputAgain& input, const std::string& container,
                               const std::vector<std::string>& modules) const {
  if (const auto fused = weights_.fused(container)) {
    const auto& plan = plan_.at(modules.front());
    auto together = gradients.front();
    together.local = side_by_side(gradients);
    gradients.clear();
    weight_gradient(together, input(), fused->weight, container);
    return input_gradient(together, fused->weight, container, plan);
  }
  std::vector<Placement> before_arrival;
  for (auto i = modules.size(); i-- > 0;) before_arrival.push_back(context_.saved->pop().placement);
  const auto read = input();
  // What no arrival has moved stays partial, and is reduced with the others of its kind.
  std::optional<Sharded> partial;
  std::optional<Sharded> finished;
  const auto again = without_saved();
  for (auto i = modules.size(); i-- > 0;) {
    const auto arrived = again.arrive(read, modules[i]);
    weight_backward(gradients[i], arrived, modules[i]);
    auto gradient = input_backward(gradients[i], modules[i]);
    const auto from = before_arrival[modules.size() - 1 - i];
    if (gradient.placement.is_partial() && from == arrived.placement && !from.is_partial()) {
      add_to(partial, std::move(gradient));
    } else {
      gradient = redistribute(std::move(gradient), gradient_placement(from), again.context(), modules[i], Use::write);
      add_to(finished, std::move(gradient));
    }
  }
  if (!finished) return *std::move(partial);
  if (partial) {
    add_to(finished, redistribute(*std::move(partial), finished->placement, again.context(), container));
  }
  return *std::move(finished);
}

Sharded Layers::logits(Sharded value, const std::string& module) const {
  const MemoryScope scope(MemoryUse::logits);
  auto result = gemm(std::exchange(value, {}), module);
  return redistribute(std::move(result), plan_.at(module).output, context_, logits_module);
}

std::vector<Sharded> Layers::gemms(Sharded input, const std::string& container,
                                   const std::vector<std::string>& modules) const {
  std::vector<Sharded> results;
  const auto fused = weights_.fused(container);
  if (!fused) {
    for (const auto& module : modules) results.push_back(gemm(arrive(input, module), module));
    return results;
  }
  for (const auto& module : modules) check_arrival(input.placement, plan_.at(module), module);
  const EventScope scope(context_.events,
                         {.phase = Phase::gemm, .module = container, .flops = flops_of(input.local, fused->weight)});
  const auto seq = input.global[0];
  const auto batch = input.global[1];
  const auto together = at::empty({input.local.size(0), batch, fused->weight.rows()}, input.local.options());
  ops::linear(input.local, fused->weight, together);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const auto& plan = plan_.at(modules[i]);
    const auto rows = fused->rows[i];
    const auto features = global_size(plan, 0, rows);
    results.push_back(
        {.local = together.narrow(2, first, rows), .global = {seq, batch, features}, .placement = plan.computed});
    first += rows;
  }
  return results;
}

Sharded Layers::norm(Sharded input, const std::string& module, double eps) const {
  auto value = arrive(std::move(input), module);
  {
    const auto weight = weights_.get(module);
    const EventScope scope(context_.events, {.phase = Phase::norm, .module = module, .reads = value.event});
    value.local = ops::rms_norm(value.local, weight, eps);
    value.event = scope.id();
  }
  return leave(std::move(value), module);
}

// Whether a norm computes in another placement than the stream has.
bool Layers::norm_needs_arrival(const Sharded& stream, const std::string& norm_module) const {
  const auto& input = plan_.at(norm_module).input;
  return input && *input != stream.placement;
}

// In place, unless the stream is saved.
void Layers::add(Sharded& stream, const std::vector<at::Tensor>& terms) const {
  if (terms.empty()) return;
  const auto sum = saves() ? at::empty(stream.local.sizes(), stream.local.options()) : stream.local;
  ops::add(stream.local, terms, sum);
  stream.local = sum;
}

Sharded Layers::add_norm(Sharded& stream, std::optional<Delta> delta, const std::string& norm_module,
                         const std::string& reader, double eps) const {
  const auto& plan = plan_.at(norm_module);
  // A partial stream is reduced here for good, not in a copy that the norm alone would see.
  const auto of_stream = stream.placement.is_partial() ? *plan.input : stream.placement;
  stream = redistribute(std::move(stream), of_stream, context_, norm_module, Use::write);
  const auto terms = delta ? terms_of(*std::move(delta), stream) : std::vector<at::Tensor>();
  if (norm_needs_arrival(stream, norm_module)) {
    {
      const EventScope scope(context_.events, {.phase = phase_of(terms), .module = norm_module, .reads = stream.event});
      add(stream, terms);
    }
    if (saves()) context_.saved->push(stream);
    return keep_gathered(arrive(norm(stream, norm_module, eps), reader));
  }
  check_arrival(stream.placement, plan, norm_module);
  const auto next = plan.output == stream.placement ? plan_.at(reader).input.value_or(stream.placement) : plan.output;
  auto normed = new_sharded(stream.global, stream.placement, next, stream.local.options(), context_.tp);
  {
    const auto weight = weights_.get(norm_module);
    const EventScope scope(context_.events, {.phase = phase_of(terms), .module = norm_module, .reads = stream.event});
    const bool beside = saves() && !terms.empty();
    const auto sum = beside ? at::empty(stream.local.sizes(), stream.local.options()) : stream.local;
    ops::add_norm(stream.local, terms, sum, weight, eps, normed.local);
    stream.local = sum;
    normed.event = scope.id();
  }
  if (saves()) context_.saved->push(stream);
  return keep_gathered(arrive(leave(std::move(normed), norm_module), reader));
}

// Saves what has arrived, unless it is made again in the backward.
Sharded Layers::keep_gathered(Sharded arrived) const {
  if (saves() && context_.saved->policy().keeps_gathered()) context_.saved->push(arrived);
  return arrived;
}

Sharded Layers::normed_again(const std::string& norm_module, const std::string& reader, double eps) const {
  if (context_.saved->policy().keeps_gathered()) return context_.saved->pop();
  auto stream = context_.saved->last();
  return without_saved().add_norm(stream, std::nullopt, norm_module, reader, eps);
}

namespace {

// Kernels read rows without gaps.
std::vector<at::Tensor> contiguous_terms(const Sharded& value) {
  auto terms = value.terms();
  for (auto& term : terms) term = term.contiguous();
  return terms;
}

}  // namespace

// Of one norm, computed from `input`: writes or adds the gradient of its input.
void Layers::norm_backward(const Sharded& gradient, const Sharded& input, const std::string& module, double eps,
                           const at::Tensor& of_input, bool adds) const {
  auto& of_weight = gradients_->at(module);
  if (!of_weight.started) of_weight.value.zero_();
  of_weight.started = true;
  of_weight.partial = input.placement.is_shard() && context_.tp.size() > 1;
  const auto terms = contiguous_terms(gradient);
  const auto weight = weights_.get(module);
  const EventScope scope(context_.events, {.phase = phase_of(terms), .module = module, .reads = gradient.event});
  ops::add_norm_backward(terms, input.local, weight, eps, of_input, adds, of_weight.value, context_.meta);
}

std::optional<Sharded> Layers::add_norm_backward(Sharded& stream, Sharded gradient,
                                                 const std::optional<std::string>& delta,
                                                 const std::string& norm_module, const std::string& reader,
                                                 double eps) const {
  auto& saved = *context_.saved;
  const auto forward_only = context_.without_saved();
  const auto at_reader = saved.pop().placement;
  const auto at_norm = saved.pop().placement;
  // Where the two are one placement they are one reduction, and what it sums is left to the backward of the norm.
  if (at_reader != at_norm) {
    gradient = redistribute(std::move(gradient), gradient_placement(at_reader), forward_only, reader);
  }
  gradient = redistribute(std::move(gradient), gradient_placement(at_norm), forward_only, norm_module, Use::sum_terms);

  if (norm_needs_arrival(saved.last(), norm_module)) {
    const auto at_stream = saved.pop().placement;
    const auto input = redistribute(saved.pop(), *plan_.at(norm_module).input, forward_only, norm_module);
    auto of_input = Sharded{.local = at::empty(input.local.sizes(), input.local.options()),
                            .global = input.global,
                            .placement = input.placement};
    norm_backward(gradient, input, norm_module, eps, of_input.local, /*adds=*/false);
    of_input = redistribute(std::move(of_input), gradient_placement(at_stream), forward_only, norm_module, Use::write);
    if (stream.local.defined()) {
      stream.local.add_(of_input.local);
    } else {
      stream = std::move(of_input);
    }
  } else {
    const auto input = saved.pop();
    const bool adds = stream.local.defined();
    if (!adds) {
      stream = {.local = at::empty(input.local.sizes(), input.local.options()),
                .global = input.global,
                .placement = input.placement};
    }
    norm_backward(gradient, input, norm_module, eps, stream.local, adds);
  }

  std::optional<Sharded> of_delta;
  if (delta) {
    of_delta = redistribute_backward(stream, *delta);
    stream = redistribute_backward(std::move(stream), *delta, Use::write);
    of_delta = redistribute_backward(*std::move(of_delta), *delta);
  }
  stream = redistribute_backward(std::move(stream), norm_module, Use::write);
  return of_delta;
}

// What is to be added to the stream, in the stream's placement, which is the one that costs least: a replicated stream
// is sliced to match a shard. The stream is not partial here.
std::vector<at::Tensor> Layers::terms_of(Delta delta, Sharded& stream) const {
  const auto use = plan_.at(delta.module).output == stream.placement ? Use::sum_terms : Use::read;
  auto value = leave(std::move(delta.value), delta.module, use);
  const bool slice_stream = stream.placement.is_replicate() && value.placement.is_shard();
  const auto of_stream = slice_stream ? value.placement : stream.placement;
  stream = redistribute(std::move(stream), of_stream, context_, delta.module);
  value = redistribute(std::move(value), of_stream, context_, delta.module);
  stream.event = value.event;
  return value.terms();
}

Sharded Layers::swiglu(Sharded gate, const std::string& gate_module, Sharded up, const std::string& up_module) const {
  up = leave(std::move(up), up_module);
  auto placement = plan_.at(gate_module).output;
  if (placement.is_partial()) placement = Placement::replicate();
  gate = redistribute(std::move(gate), placement, context_, gate_module, Use::write);
  const bool slice_gate = gate.placement.is_replicate() && up.placement.is_shard();
  const auto of_gate = slice_gate ? up.placement : gate.placement;
  gate = redistribute(std::move(gate), of_gate, context_, gate_module);
  up = redistribute(std::move(up), gate.placement, context_, up_module);
  if (!saves()) {
    gate.local = ops::swiglu(gate.local, up.local, context_.meta);
    return gate;
  }
  context_.saved->push(gate);
  context_.saved->push(up);
  gate.local = ops::swiglu_for_backward(gate.local, up.local);
  return gate;
}

std::vector<Sharded> Layers::swiglu_backward(Sharded& gradient, const std::string& gate_module,
                                             const std::string& up_module) const {
  auto up = context_.saved->pop();
  auto gate = context_.saved->pop();
  // Each is overwritten by its gradient, and may be memory that other ranks read.
  const bool shared = context_.tp.is_shared(up.local) || context_.tp.is_shared(gate.local);
  if (shared) {
    up.local = up.local.clone();
    gate.local = gate.local.clone();
  }
  gradient.local = gradient.local.contiguous();
  if (context_.tp.is_shared(gradient.local)) gradient.local = gradient.local.clone();
  ops::swiglu_backward(gradient.local, gate.local, up.local);
  up = redistribute_backward(std::move(up), up_module);
  gate = redistribute_backward(std::move(gate), gate_module);
  gate = redistribute_backward(std::move(gate), gate_module);
  up = redistribute_backward(std::move(up), up_module);
  return {std::move(gate), std::move(up)};
}

}  // namespace tpsp::nn
