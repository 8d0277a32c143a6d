#include "tpsp/model/llama.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "ops.h"
#include "tpsp/core/error.h"
#include "tpsp/core/math.h"
#include "tpsp/core/memory_use.h"

namespace tpsp {
namespace {

at::Tensor split_heads(const at::Tensor& features, std::int64_t head_dim) {
  return features.unflatten(-1, {features.size(-1) / head_dim, head_dim});
}

// The layouts in which attention can be computed: all heads, or this rank's.
Sharded in_heads(Sharded value, const ParallelContext& context, const std::string& module) {
  if (value.layout.is_shard(feature_dim)) return value;
  return redistribute(std::move(value), Layout::replicate(), context, module);
}

// A shard of queries, keys or values has to end where a head ends.
void check_whole_heads(const Sharded& value, std::int64_t head_dim, const ParallelContext& context,
                       const std::string& module) {
  if (value.local.size(2) % head_dim == 0) return;
  throw bad_input(
      {.where = module,
       .what = fmt::format("{} heads do not divide over {} ranks", value.global[2] / head_dim, context.comm.size()),
       .remedy = "use a world size that divides the heads, or out=replicate"});
}

double flops_of(const at::Tensor& input, const GemmWeight& weight) {
  return product_flops(input.numel() / weight.columns(), weight.rows(), weight.columns());
}

// Scores and their product with the values of `[seq, batch, heads, head_dim]` queries, of the half that the mask
// leaves.
double attention_flops(const at::Tensor& queries) { return product_flops(queries.size(0), 1, queries.numel()); }

// Throws where a rule's in= is not the layout that arrives.
void check_arrival(Layout arriving, const Placement& placement, const std::string& module) {
  if (!placement.in || *placement.in == arriving) return;
  throw bad_input({.where = placement.rule,
                   .what = fmt::format("{}: the rule says in={}, and {} arrives", module, to_string(*placement.in),
                                       to_string(arriving)),
                   .remedy = "correct in=, or leave it out: the layout travels with the tensor"});
}

}  // namespace

std::int64_t Llama::padded_seq(std::int64_t seq) const {
  return plan_.shards_sequence() ? round_up(seq, context_.comm.size()) : seq;
}

std::int64_t Llama::padded_vocabulary() const {
  const bool cut = plan_.at("tok_embeddings").cut == 0 || plan_.at("output").cut == 0;
  return cut ? round_up(config_.vocabulary, context_.comm.size()) : config_.vocabulary;
}

Sharded Llama::forward(const at::Tensor& tokens) const {
  auto stream = embed(tokens);
  const auto head_dim = config_.head_dim();
  const auto rotary = ops::rotary_table(stream.global[0], head_dim, config_.rope_theta, stream.local.options());
  std::optional<Delta> delta;
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    const auto layer = fmt::format("layers.{}.", i);
    auto input = add_norm(stream, std::move(delta), layer + "attention_norm", layer + "attention");
    delta = attention(std::move(input), layer + "attention", rotary);
    input = add_norm(stream, std::move(delta), layer + "ffn_norm", layer + "feed_forward");
    delta = feed_forward(std::move(input), layer + "feed_forward");
  }
  auto input = add_norm(stream, std::move(delta), "norm", "output");
  const MemoryScope scope(MemoryUse::logits);
  auto logits = multiply(std::move(input), "output");
  return redistribute(std::move(logits), plan_.at("output").out, context_, "logits");
}

at::Tensor Llama::whole(Sharded logits, std::int64_t seq) const {
  const auto all = redistribute(std::move(logits), Layout::replicate(), context_, "logits");
  return all.local.narrow(0, 0, seq).narrow(2, 0, config_.vocabulary).transpose(0, 1);
}

at::Tensor Llama::logits(const at::Tensor& tokens) const { return whole(forward(tokens), tokens.size(1)); }

// Checks what a rule says of the incoming layout, and brings the value to what the module computes from.
Sharded Llama::arrive(Sharded value, const std::string& module) const {
  const auto& placement = plan_.at(module);
  check_arrival(value.layout, placement, module);
  if (!placement.want) return value;
  return redistribute(std::move(value), *placement.want, context_, module);
}

Sharded Llama::embed(const at::Tensor& tokens) const {
  const std::string module = "tok_embeddings";
  const auto& placement = plan_.at(module);
  check_arrival(Layout::replicate(), placement, module);
  const auto seq = padded_seq(tokens.size(1));
  const auto ids = at::constant_pad_nd(tokens, {0, seq - tokens.size(1)}).t().contiguous();
  const auto table = weights_.get(module);
  const auto first_row = placement.cut == 0 ? context_.comm.rank() * table.size(0) : 0;
  auto stream = new_sharded({seq, tokens.size(0), config_.hidden}, placement.natural, placement.out, table.options(),
                            context_.comm);
  ops::embedding(table, ids, first_row, stream.local);
  return redistribute_to_own(std::move(stream), placement.out, context_, module);
}

// The product alone: `value` has arrived, and the result keeps its natural layout, for a seam to reduce.
Sharded Llama::multiply(Sharded value, const std::string& module) const {
  const auto& placement = plan_.at(module);
  const auto weight = weights_.product(module);
  const auto features = placement.cut == 0 ? weight->rows() * context_.comm.size() : weight->rows();
  const Span span(context_.observer, Part::gemm, module, flops_of(value.local, *weight));
  auto result = new_sharded({value.global[0], value.global[1], features}, placement.natural, placement.out,
                            value.local.options(), context_.comm);
  ops::linear(value.local, *weight, result.local);
  return result;
}

Sharded Llama::product(Sharded input, const std::string& module) const {
  return multiply(arrive(std::move(input), module), module);
}

// The products of all `modules`, which read what arrives at their container: one product where their weights are
// joined.
std::vector<Sharded> Llama::products(Sharded input, const std::string& container,
                                     const std::vector<std::string>& modules) const {
  std::vector<Sharded> results;
  const auto joined = weights_.joined(container);
  if (!joined) {
    for (const auto& module : modules) results.push_back(product(input, module));
    return results;
  }
  for (const auto& module : modules) input = arrive(std::move(input), module);  // checked; nothing moves
  const Span span(context_.observer, Part::gemm, container, flops_of(input.local, joined->weight));
  const auto seq = input.global[0];
  const auto batch = input.global[1];
  const auto together = at::empty({input.local.size(0), batch, joined->weight.rows()}, input.local.options());
  ops::linear(input.local, joined->weight, together);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const auto& placement = plan_.at(modules[i]);
    const auto rows = joined->rows[i];
    const auto features = placement.cut == 0 ? rows * context_.comm.size() : rows;
    results.push_back(
        {.local = together.narrow(2, first, rows), .global = {seq, batch, features}, .layout = placement.natural});
    first += rows;
  }
  return results;
}

at::Tensor Llama::normalized(const at::Tensor& input, const std::string& module) const {
  const auto weight = weights_.get(module);
  const Span span(context_.observer, Part::norm, module);
  return ops::rms_norm(input, weight, config_.norm_eps);
}

Sharded Llama::norm(Sharded input, const std::string& module) const {
  auto value = arrive(std::move(input), module);
  value.local = normalized(value.local, module);
  return redistribute(std::move(value), plan_.at(module).out, context_, module);
}

// The one seam of Megatron's identity: TP all-reduces here; TP+SP reduce-scatters, adds and normalises its shard, and
// gathers for `reader`. Where ranks see each other's memory, the sum, the residual and the norm are one pass over it,
// and what is normalised is written where the gather wants it.
Sharded Llama::add_norm(Sharded& stream, std::optional<Delta> delta, const std::string& norm_module,
                        const std::string& reader) const {
  const auto& placement = plan_.at(norm_module);
  if (stream.layout.is_partial()) {  // reduced here for good, not in a copy that the norm alone would see
    stream = redistribute_to_own(std::move(stream), *placement.want, context_, norm_module);
  }
  const auto addends = delta ? addends_of(*std::move(delta), stream) : std::vector<at::Tensor>();
  if (placement.want && *placement.want != stream.layout) {
    {
      const Span span(context_.observer, addends.size() > 1 ? Part::seam : Part::norm, norm_module);
      ops::add(stream.local, addends);
    }
    return arrive(norm(stream, norm_module), reader);
  }
  check_arrival(stream.layout, placement, norm_module);
  const auto next = placement.out == stream.layout ? plan_.at(reader).want.value_or(stream.layout) : placement.out;
  auto normed = new_sharded(stream.global, stream.layout, next, stream.local.options(), context_.comm);
  normed.gathered_by = stream.gathered_by;
  {
    const auto weight = weights_.get(norm_module);
    const Span span(context_.observer, addends.size() > 1 ? Part::seam : Part::norm, norm_module);
    ops::add_norm(stream.local, addends, weight, config_.norm_eps, normed.local);
  }
  return arrive(redistribute(std::move(normed), placement.out, context_, norm_module), reader);
}

// What is to be added to the stream, in the stream's layout, which is the one that costs least: a whole stream is cut
// to match a shard. The stream is not partial here.
std::vector<at::Tensor> Llama::addends_of(Delta delta, Sharded& stream) const {
  const auto out = plan_.at(delta.module).out;
  if (out == stream.layout && can_stay_unsummed(delta.value.layout, out)) {
    auto [addends, gathered_by] = unsummed(std::move(delta.value), out, context_, delta.module);
    stream.gathered_by = gathered_by;
    return addends;
  }
  auto value = redistribute(std::move(delta.value), out, context_, delta.module);
  const bool cut_stream = stream.layout.is_replicate() && value.layout.is_shard();
  if (cut_stream) {
    stream = redistribute(std::move(stream), value.layout, context_, delta.module);
  } else {
    value = redistribute(std::move(value), stream.layout, context_, delta.module);
  }
  stream.gathered_by = value.gathered_by;
  return {value.local};
}

// Keys or values for the heads that `queries` has here. Whole keys are cut to match cut queries, also where there are
// fewer of them than ranks.
Sharded Llama::with_heads_of(const Sharded& queries, Sharded keys, const std::string& module) const {
  const bool select = queries.layout.is_shard() && keys.layout.is_replicate() && context_.comm.size() > 1;
  if (!select) return redistribute(std::move(keys), queries.layout, context_, module);
  const auto head_dim = config_.head_dim();
  const auto heads = queries.local.size(2) / head_dim;  // here
  const auto group = config_.heads / config_.kv_heads;
  const auto first = context_.comm.rank() * heads;
  if (heads % group == 0 || group % heads == 0) {
    const auto count = std::max<std::int64_t>(heads / group, 1);
    keys.local = keys.local.narrow(2, first / group * head_dim, count * head_dim);
  } else {
    keys.local = ops::heads_for_queries(split_heads(keys.local, head_dim), first, heads, group).flatten(2);
  }
  keys.layout = queries.layout;
  return keys;
}

Llama::Delta Llama::attention(Sharded input, const std::string& module, const ops::RotaryTable& rotary) const {
  const auto head_dim = config_.head_dim();
  const std::vector<std::string> names{module + ".wq", module + ".wk", module + ".wv"};
  auto results = products(std::move(input), module, names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    results[i] = redistribute(std::move(results[i]), plan_.at(names[i]).out, context_, names[i]);
    results[i] = in_heads(std::move(results[i]), context_, names[i]);
  }
  auto q = std::move(results[0]);
  auto k = std::move(results[1]);
  auto v = std::move(results[2]);
  results.clear();
  check_whole_heads(q, head_dim, context_, module + ".wq");
  k = with_heads_of(q, std::move(k), module + ".wk");
  v = with_heads_of(q, std::move(v), module + ".wv");
  check_whole_heads(k, head_dim, context_, module + ".wk");
  check_whole_heads(v, head_dim, context_, module + ".wv");
  q.local = ops::rotate(split_heads(q.local, head_dim), rotary);
  k.local = ops::rotate(split_heads(k.local, head_dim), rotary);
  v.local = v.local.contiguous();  // what the three were cut from is free now
  {
    const Span span(context_.observer, Part::attention, module, attention_flops(q.local));
    q.local = ops::causal_attention(q.local, k.local, split_heads(v.local, head_dim));
  }
  k.local.reset();
  v.local.reset();
  return {.value = product(std::move(q), module + ".wo"), .module = module + ".wo"};
}

Llama::Delta Llama::feed_forward(Sharded input, const std::string& module) const {
  auto results = products(std::move(input), module, {module + ".w1", module + ".w3"});
  auto gate = std::move(results[0]);
  auto up = redistribute(std::move(results[1]), plan_.at(module + ".w3").out, context_, module + ".w3");
  results.clear();
  auto gate_layout = plan_.at(module + ".w1").out;
  if (gate_layout.is_partial()) gate_layout = Layout::replicate();
  gate = redistribute_to_own(std::move(gate), gate_layout, context_, module + ".w1");
  const bool cut_gate = gate.layout.is_replicate() && up.layout.is_shard();
  if (cut_gate) gate = redistribute(std::move(gate), up.layout, context_, module + ".w1");
  up = redistribute(std::move(up), gate.layout, context_, module + ".w3");
  ops::swiglu(gate.local, up.local);
  up.local.reset();
  return {.value = product(std::move(gate), module + ".w2"), .module = module + ".w2"};
}

}  // namespace tpsp
