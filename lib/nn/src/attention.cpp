#include "tpsp/nn/attention.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "tpsp/core/error.h"

namespace tpsp::nn {
namespace {

at::Tensor split_heads(const at::Tensor& features, std::int64_t head_dim) {
  return features.unflatten(-1, {features.size(-1) / head_dim, head_dim});
}

// The placements in which attention can be computed: all heads, or this rank's.
Sharded in_heads(Sharded value, const Context& context, const std::string& module) {
  if (value.placement.is_shard(feature_dim)) return value;
  return redistribute(std::move(value), Placement::replicate(), context, module);
}

// A shard of queries, keys or values has to end where a head ends.
void check_full_heads(const Sharded& value, std::int64_t head_dim, const Context& context, const std::string& module) {
  if (value.local.size(2) % head_dim == 0) return;
  throw bad_input(
      {.where = module,
       .what = fmt::format("{} heads do not divide over {} ranks", value.global[2] / head_dim, context.tp.size()),
       .remedy = "use a world size that divides the heads, or out=replicate"});
}

// Scores and their product with the values of `[batch, heads, seq, head_dim]` queries, of the half that the mask
// leaves.
double attention_flops(const at::Tensor& queries) { return product_flops(queries.size(2), 1, queries.numel()); }

// Keys or values for the heads that `queries` has here. Replicated keys are sliced to match sharded queries, also where
// there are fewer of them than ranks.
Sharded with_heads_of(const Sharded& queries, Sharded keys, const AttentionShape& shape, const Context& context,
                      const std::string& module) {
  const bool select = queries.placement.is_shard() && keys.placement.is_replicate() && context.tp.size() > 1;
  if (!select) return redistribute(std::move(keys), queries.placement, context, module);
  const auto head_dim = shape.head_dim;
  const auto heads = queries.local.size(2) / head_dim;  // here
  const auto group = shape.heads / shape.kv_heads;
  const auto first = context.tp.rank() * heads;
  if (heads % group == 0 || group % heads == 0) {
    const auto count = std::max<std::int64_t>(heads / group, 1);
    keys.local = keys.local.narrow(2, first / group * head_dim, count * head_dim);
  } else {
    keys.local = ops::heads_for_queries(split_heads(keys.local, head_dim), first, heads, group).flatten(2);
  }
  keys.placement = queries.placement;
  return keys;
}

}  // namespace

Delta attention(const Layers& layers, Sharded input, const AttentionModules& modules, const AttentionShape& shape,
                const ops::RotaryTable& rotary) {
  const auto& context = layers.context();
  const auto head_dim = shape.head_dim;
  const std::vector<std::string> names{modules.queries, modules.keys, modules.values};
  auto results = layers.gemms(std::move(input), modules.container, names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    results[i] = in_heads(layers.leave(std::move(results[i]), names[i]), context, names[i]);
  }
  auto q = std::move(results[0]);
  auto k = std::move(results[1]);
  auto v = std::move(results[2]);
  results.clear();
  check_full_heads(q, head_dim, context, modules.queries);
  k = with_heads_of(q, std::move(k), shape, context, modules.keys);
  v = with_heads_of(q, std::move(v), shape, context, modules.values);
  check_full_heads(k, head_dim, context, modules.keys);
  check_full_heads(v, head_dim, context, modules.values);
  q.local = ops::rotate(split_heads(q.local, head_dim), rotary);
  k.local = ops::rotate(split_heads(k.local, head_dim), rotary);
  v.local = ops::by_head(split_heads(v.local, head_dim));  // the fused result of the three is free now
  {
    const EventScope scope(context.events,
                           {.phase = Phase::attention, .module = modules.container, .flops = attention_flops(q.local)});
    q.local = ops::causal_attention(q.local, k.local, v.local, context.meta);
  }
  k.local.reset();
  v.local.reset();
  return {.value = layers.gemm(layers.arrive(std::move(q), modules.output), modules.output), .module = modules.output};
}

}  // namespace tpsp::nn
