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

Phase phase_of(const std::vector<at::Tensor>& terms) { return terms.size() > 1 ? Phase::fused_add_norm : Phase::norm; }

}  // namespace

std::int64_t Layers::padded_seq(std::int64_t seq) const {
  return plan_.shards_sequence() ? round_up(seq, context_.tp.size()) : seq;
}

Sharded Layers::arrive(Sharded value, const std::string& module) const {
  const auto& plan = plan_.at(module);
  check_arrival(value.placement, plan, module);
  if (!plan.input) return value;
  return redistribute(std::move(value), *plan.input, context_, module);
}

Sharded Layers::leave(Sharded value, const std::string& module, Use use) const {
  return redistribute(std::move(value), plan_.at(module).output, context_, module, use);
}

Sharded Layers::embedding(const at::Tensor& tokens, const std::string& module) const {
  const auto& plan = plan_.at(module);
  check_arrival(Placement::replicate(), plan, module);
  const auto seq = padded_seq(tokens.size(1));
  const auto ids = at::constant_pad_nd(tokens, {0, seq - tokens.size(1)}).t().contiguous();
  const auto table = weights_.get(module);
  const auto first_row = plan.weight_dim == 0 ? context_.tp.rank() * table.size(0) : 0;
  auto stream = new_sharded({seq, tokens.size(0), global_size(plan, 1, table.size(1))}, plan.computed, plan.output,
                            table.options(), context_.tp);
  ops::embedding(table, ids, first_row, stream.local);
  return leave(std::move(stream), module, Use::write);
}

// What `local` elements of this rank's weight along `dim` are on all ranks together.
std::int64_t Layers::global_size(const ModulePlan& plan, int dim, std::int64_t local) const {
  return plan.weight_dim == dim ? local * context_.tp.size() : local;
}

Sharded Layers::gemm(const Sharded& value, const std::string& module) const {
  const auto& plan = plan_.at(module);
  const auto weight = weights_.product(module);
  const auto features = global_size(plan, 0, weight->rows());
  const EventScope scope(context_.events,
                         {.phase = Phase::gemm, .module = module, .flops = flops_of(value.local, *weight)});
  auto result = new_sharded({value.global[0], value.global[1], features}, plan.computed, plan.output,
                            value.local.options(), context_.tp);
  ops::linear(value.local, *weight, result.local);
  return result;
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

Sharded Layers::add_norm(Sharded& stream, std::optional<Delta> delta, const std::string& norm_module,
                         const std::string& reader, double eps) const {
  const auto& plan = plan_.at(norm_module);
  if (stream.placement.is_partial()) {  // reduced here for good, not in a copy that the norm alone would see
    stream = redistribute(std::move(stream), *plan.input, context_, norm_module, Use::write);
  }
  const auto terms = delta ? terms_of(*std::move(delta), stream) : std::vector<at::Tensor>();
  if (plan.input && *plan.input != stream.placement) {
    {
      const EventScope scope(context_.events, {.phase = phase_of(terms), .module = norm_module, .reads = stream.event});
      ops::add(stream.local, terms);
    }
    return arrive(norm(stream, norm_module, eps), reader);
  }
  check_arrival(stream.placement, plan, norm_module);
  const auto next = plan.output == stream.placement ? plan_.at(reader).input.value_or(stream.placement) : plan.output;
  auto normed = new_sharded(stream.global, stream.placement, next, stream.local.options(), context_.tp);
  {
    const auto weight = weights_.get(norm_module);
    const EventScope scope(context_.events, {.phase = phase_of(terms), .module = norm_module, .reads = stream.event});
    ops::add_norm(stream.local, terms, weight, eps, normed.local);
    normed.event = scope.id();
  }
  return arrive(leave(std::move(normed), norm_module), reader);
}

// What is to be added to the stream, in the stream's placement, which is the one that costs least: a replicated stream
// is sliced to match a shard. The stream is not partial here.
std::vector<at::Tensor> Layers::terms_of(Delta delta, Sharded& stream) const {
  const auto output = plan_.at(delta.module).output;
  if (output == stream.placement) {
    auto value = leave(std::move(delta.value), delta.module, Use::sum_terms);
    stream.event = value.event;
    return value.terms();
  }
  auto value = leave(std::move(delta.value), delta.module);
  const bool slice_stream = stream.placement.is_replicate() && value.placement.is_shard();
  if (slice_stream) {
    stream = redistribute(std::move(stream), value.placement, context_, delta.module);
  } else {
    value = redistribute(std::move(value), stream.placement, context_, delta.module);
  }
  stream.event = value.event;
  return {value.local};
}

Sharded Layers::swiglu(Sharded gate, const std::string& gate_module, Sharded up, const std::string& up_module) const {
  up = leave(std::move(up), up_module);
  auto placement = plan_.at(gate_module).output;
  if (placement.is_partial()) placement = Placement::replicate();
  gate = redistribute(std::move(gate), placement, context_, gate_module, Use::write);
  const bool slice_gate = gate.placement.is_replicate() && up.placement.is_shard();
  if (slice_gate) gate = redistribute(std::move(gate), up.placement, context_, gate_module);
  up = redistribute(std::move(up), gate.placement, context_, up_module);
  gate.local = ops::swiglu(gate.local, up.local, context_.meta);
  return gate;
}

}  // namespace tpsp::nn
