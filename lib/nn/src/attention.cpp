#include "tpsp/nn/attention.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tpsp/core/error.h"

namespace tpsp::nn {
namespace {

at::Tensor split_heads(const at::Tensor& features, std::int64_t head_dim) {
  return features.unflatten(-1, {features.size(-1) / head_dim, head_dim});
}

// The placements in which attention can be computed: all heads, or this rank's.
Sharded in_heads(Sharded value, const Context& context, const std::string& module) {
  const auto wanted = value.placement.is_shard(feature_dim) ? value.placement : Placement::replicate();
  return redistribute(std::move(value), wanted, context, module);
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

// Whether replicated keys or values are to be sliced to match sharded queries.
bool selects_heads(Placement queries, Placement keys, const Context& context) {
  return queries.is_shard() && keys.is_replicate() && context.tp.size() > 1;
}

/// The heads of replicated keys or values that this rank's query heads attend to. Queries that share one with another
/// rank's, or that do not fill their groups, have it all the same.
struct SelectedHeads {
  std::int64_t first_query;
  std::int64_t queries;
  std::int64_t group;  ///< queries for one head of keys

  SelectedHeads(std::int64_t query_features, const AttentionShape& shape, const Context& context)
      : first_query(context.tp.rank() * (query_features / shape.head_dim)),
        queries(query_features / shape.head_dim),
        group(shape.heads / shape.kv_heads) {}

  /// Whether they are one after the other, each once.
  bool are_a_range() const { return queries % group == 0 || group % queries == 0; }
  std::int64_t first() const { return first_query / group; }
  std::int64_t count() const { return are_a_range() ? std::max<std::int64_t>(queries / group, 1) : queries; }
};

// Keys or values for the heads that `queries` has here. Replicated keys are sliced to match sharded queries, also where
// there are fewer of them than ranks.
Sharded with_heads_of(const Sharded& queries, Sharded keys, const AttentionShape& shape, const Context& context,
                      const std::string& module) {
  if (!selects_heads(queries.placement, keys.placement, context)) {
    return redistribute(std::move(keys), queries.placement, context, module);
  }
  if (context.saved != nullptr) context.saved->push({.local = {}, .global = keys.global, .placement = keys.placement});
  const SelectedHeads heads(queries.local.size(2), shape, context);
  if (heads.are_a_range()) {
    keys.local = keys.local.narrow(2, heads.first() * shape.head_dim, heads.count() * shape.head_dim);
  } else {
    const auto all = split_heads(keys.local, shape.head_dim);
    keys.local = ops::heads_for_queries(all, heads.first_query, heads.queries, heads.group).flatten(2);
  }
  keys.placement = queries.placement;
  return keys;
}

// The backward. Of replicated keys each rank has the gradient of its heads: a term of a sum.
Sharded with_heads_of_backward(const Sharded& queries, Sharded gradient, const AttentionShape& shape,
                               const Layers& layers, const std::string& module) {
  const auto& context = layers.context();
  const auto forward = context.saved->pop();
  if (!selects_heads(queries.placement, forward.placement, context)) {
    gradient.global = forward.global;
    return redistribute(std::move(gradient), gradient_placement(forward.placement), context.without_saved(), module);
  }
  const SelectedHeads heads(queries.local.size(2), shape, context);
  Sharded sum{.local = context.tp.alloc_partial(forward.global, gradient.local.options()),
              .global = forward.global,
              .placement = Placement::partial()};
  sum.local.zero_();
  if (heads.are_a_range()) {
    sum.local.narrow(2, heads.first() * shape.head_dim, gradient.local.size(2)).copy_(gradient.local);
  } else {
    auto all = split_heads(sum.local, shape.head_dim);
    ops::add_to_heads(split_heads(gradient.local, shape.head_dim), heads.first_query, heads.group, all);
  }
  return redistribute(std::move(sum), forward.placement, context.without_saved(), module);
}

// Attention of rotated queries, `[batch, heads, seq, head_dim]`, as `[seq, batch, features]`. What its backward needs
// is saved.
Sharded mixed_values(const Sharded& q, const Sharded& k, const Sharded& v, const Context& context,
                     const std::string& container) {
  const auto kernel = ops::attention_kernel(q.local, k.local, v.local, /*for_backward=*/context.saved != nullptr);
  const EventScope scope(
      context.events,
      {.phase = Phase::attention, .module = container, .flops = attention_flops(q.local), .kernel = kernel});
  auto mixed = q;
  if (context.saved == nullptr) {
    mixed.local = ops::causal_attention(q.local, k.local, v.local, context.meta);
    return mixed;
  }
  const auto result = ops::causal_attention_for_backward(q.local, k.local, v.local, context.meta);
  mixed.local = result.mixed;
  for (const auto* one : {&q, &k, &v}) context.saved->push(*one);
  if (context.saved->policy().recompute != Recompute::attention) {
    context.saved->push(mixed);
    context.saved->push(result.log_sums);
  }
  return mixed;
}

/// What mixed_values has saved.
struct SavedAttention {
  Sharded q;
  Sharded k;
  Sharded v;
  ops::AttentionResult result;
};

SavedAttention saved_attention(const Context& context, const std::string& container) {
  auto& saved = *context.saved;
  SavedAttention all;
  const bool again = saved.policy().recompute == Recompute::attention;
  if (!again) {
    all.result.log_sums = saved.pop().local;
    all.result.mixed = saved.pop().local;
  }
  for (auto* one : {&all.v, &all.k, &all.q}) *one = saved.pop();
  if (again) {
    const EventScope scope(context.events,
                           {.phase = Phase::attention, .module = container, .flops = attention_flops(all.q.local)});
    all.result = ops::causal_attention_for_backward(all.q.local, all.k.local, all.v.local, context.meta);
  }
  return all;
}

// Gradients of queries, keys and values before they were rotated, `[seq, batch, features]`, side by side.
std::vector<Sharded> core_backward(const Sharded& gradient, const SavedAttention& saved, const Context& context,
                                   const std::string& container, const ops::RotaryTable& rotary) {
  constexpr double gemms_to_forward = 2.5;  // five GEMMs where the forward has two
  ops::AttentionGradients gradients;
  {
    const EventScope scope(
        context.events,
        {.phase = Phase::attention, .module = container, .flops = gemms_to_forward * attention_flops(saved.q.local)});
    gradients = ops::causal_attention_backward(gradient.local.contiguous(), saved.q.local, saved.k.local, saved.v.local,
                                               saved.result, context.meta);
  }
  const auto head_dim = saved.q.local.size(3);
  const auto heads = [](const Sharded& value) { return value.local.size(1); };
  const auto all_heads = heads(saved.q) + heads(saved.k) + heads(saved.v);
  const auto together =
      at::empty({saved.q.local.size(2), saved.q.local.size(0), all_heads * head_dim}, saved.q.local.options());
  std::vector<Sharded> results;
  std::int64_t first = 0;
  for (const auto* value : {&saved.q, &saved.k, &saved.v}) {
    auto one = *value;
    one.local = together.narrow(2, first, heads(*value) * head_dim);
    first += heads(*value) * head_dim;
    results.push_back(std::move(one));
  }
  ops::rotate_back(gradients.queries, rotary, split_heads(results[0].local, head_dim));
  ops::rotate_back(gradients.keys, rotary, split_heads(results[1].local, head_dim));
  split_heads(results[2].local, head_dim).copy_(gradients.values.permute({2, 0, 1, 3}));
  return results;
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
  const auto take_heads = [head_dim](Sharded& value) { return split_heads(std::exchange(value.local, {}), head_dim); };
  auto heads = ops::by_head({take_heads(q), take_heads(k), take_heads(v)}, rotary, context.meta);
  q.local = std::move(heads.queries);
  k.local = std::move(heads.keys);
  v.local = std::move(heads.values);
  auto mixed = mixed_values(q, k, v, context, modules.container);
  q.local.reset();
  k.local.reset();
  v.local.reset();
  return {.value = layers.gemm(layers.arrive(std::move(mixed), modules.output), modules.output),
          .module = modules.output};
}

Sharded attention_backward(const Layers& layers, const Sharded& gradient, const InputAgain& input,
                           const AttentionModules& modules, const AttentionShape& shape,
                           const ops::RotaryTable& rotary) {
  const auto& context = layers.context();
  auto value = layers.input_backward(gradient, modules.output);
  value = layers.redistribute_backward(std::move(value), modules.output);
  const std::vector<std::string> names{modules.queries, modules.keys, modules.values};
  std::vector<Sharded> results;
  {
    const auto saved = saved_attention(context, modules.container);
    auto mixed = saved.q;
    mixed.local = saved.result.mixed;
    layers.weight_backward(gradient, layers.without_saved().arrive(std::move(mixed), modules.output), modules.output);
    results = core_backward(value, saved, context, modules.container, rotary);
  }
  value.local.reset();
  results[2] = with_heads_of_backward(results[0], std::move(results[2]), shape, layers, names[2]);
  results[1] = with_heads_of_backward(results[0], std::move(results[1]), shape, layers, names[1]);
  for (auto i = names.size(); i-- > 0;) {
    results[i] = layers.redistribute_backward(std::move(results[i]), names[i]);
    results[i] = layers.redistribute_backward(std::move(results[i]), names[i]);
  }
  return layers.gemms_backward(std::move(results), input, modules.container, names);
}

}  // namespace tpsp::nn
