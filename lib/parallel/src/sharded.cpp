#include "tpsp/parallel/sharded.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "tpsp/core/error.h"
#include "tpsp/core/memory_use.h"
#include "tpsp/parallel/saved.h"

namespace tpsp {
namespace {

void check_divides(const Sharded& value, int dim, int ranks, const std::string& module) {
  const auto size = value.global.at(static_cast<std::size_t>(dim));
  if (size % ranks == 0) return;
  throw bad_input({.where = module,
                   .what = fmt::format("{} of {} elements does not divide over {} ranks",
                                       to_string(Placement::shard(dim)), size, ranks),
                   .remedy = "use a world size that divides it, or another placement"});
}

at::Tensor slice(const at::Tensor& full, int dim, const ProcessGroup& group) {
  const auto length = full.size(dim) / group.size();
  return full.narrow(dim, group.rank() * length, length);
}

// Memory for the full value of one that is sharded along `dim`, each rank's part in its place; undefined where a
// collective could not fill it so: blocks along dim 0 lie one after the other, others only in memory that all ranks
// see.
at::Tensor gathered_in_place(at::IntArrayRef sizes, int dim, const at::TensorOptions& options, ProcessGroup& group) {
  if (dim != seq_dim && !group.shares_memory()) return {};
  auto full = group.alloc_gathered(sizes, options);
  return dim == seq_dim || group.is_shared(full) ? full : at::Tensor();
}

// Each rank writes its shard into the gathered tensor where that can be; elsewhere collectives move contiguous blocks,
// one a rank: [ranks, ...] first, then the sharded dimension where it belongs. Along dim 0 both are views, which is why
// activations are token-major.
at::Tensor all_gather(const Sharded& value, ProcessGroup& group) {
  const int dim = value.placement.dim();
  if (value.gather_slot.defined()) {
    group.all_gather(value.local, value.gather_slot);
    return value.gather_slot;
  }
  const auto& local = value.local;
  auto sizes = local.sizes().vec();
  sizes.at(static_cast<std::size_t>(dim)) *= group.size();
  if (auto full = gathered_in_place(sizes, dim, local.options(), group); full.defined()) {
    group.all_gather(slice(full, dim, group).copy_(local), full);
    return full;
  }
  const auto shard = local.contiguous();
  auto blocks_shape = shard.sizes().vec();
  blocks_shape.insert(blocks_shape.begin(), group.size());
  auto blocks = at::empty(blocks_shape, shard.options());
  group.all_gather(shard, blocks);
  return blocks.movedim(0, dim).flatten(dim, dim + 1);
}

// [ranks, ...]: the parts that `local`, split along `dim`, has for each rank.
at::Tensor blocks_of(const at::Tensor& local, int dim, ProcessGroup& group) {
  const auto ranks = group.size();
  const auto blocks = local.unflatten(dim, {ranks, local.size(dim) / ranks}).movedim(dim, 0);
  if (blocks.is_contiguous()) return blocks;
  return group.alloc_partial(blocks.sizes(), blocks.options()).copy_(blocks);
}

at::Tensor reduce_scatter(const at::Tensor& local, int dim, ProcessGroup& group) {
  const auto blocks = blocks_of(local, dim, group);
  auto shard = at::empty(blocks.sizes().slice(1), blocks.options());
  group.reduce_scatter(blocks, shard);
  return shard;
}

at::Tensor all_reduce(const at::Tensor& local, ProcessGroup& group) {
  const auto partial = local.contiguous();
  const auto sum = group.shares_memory() ? group.alloc_gathered(partial.sizes(), partial.options()) : partial;
  group.all_reduce(partial, sum);
  return sum;
}

at::Tensor apply(Transition step, const Sharded& value, Placement wanted, ProcessGroup& group) {
  switch (step) {
    case Transition::none: return value.local;
    case Transition::slice: return slice(value.local, wanted.dim(), group);
    case Transition::reduce_scatter: return reduce_scatter(value.local, wanted.dim(), group);
    case Transition::all_gather: return all_gather(value, group);
    case Transition::all_gather_slice: return slice(all_gather(value, group), wanted.dim(), group);
    case Transition::all_reduce: return all_reduce(value.local, group);
  }
  return {};
}

std::int64_t full_bytes(const Sharded& value) {
  auto bytes = static_cast<std::int64_t>(value.local.element_size());
  for (const auto size : value.global) bytes *= size;
  return bytes;
}

bool can_defer(Placement from, Placement to) {
  return from.is_partial() && (to.is_replicate() || to.is_shard(seq_dim));
}

void defer(Sharded& value, Placement wanted, ProcessGroup& group) {
  const auto kind = wanted.is_replicate() ? Collective::all_reduce : Collective::reduce_scatter;
  value.partials = group.defer_reduction(kind, value.local);
  value.local.reset();
}

}  // namespace

Sharded new_sharded(std::vector<std::int64_t> global, Placement placement, Placement next,
                    const at::TensorOptions& options, ProcessGroup& group) {
  Sharded value{.local = {}, .global = std::move(global), .placement = placement};
  const bool alone = group.size() == 1;
  if (!alone && placement.is_partial()) value.local = group.alloc_partial(value.global, options);
  if (!alone && placement.is_shard() && next.is_replicate()) {
    const MemoryScope scope(MemoryUse::collectives);
    value.gather_slot = gathered_in_place(value.global, placement.dim(), options, group);
    if (value.gather_slot.defined()) value.local = slice(value.gather_slot, placement.dim(), group);
  }
  if (value.local.defined()) return value;
  auto sizes = value.global;
  if (placement.is_shard()) sizes.at(static_cast<std::size_t>(placement.dim())) /= group.size();
  value.local = at::empty(sizes, options);
  return value;
}

Sharded redistribute(Sharded value, Placement wanted, const Context& context, const std::string& module, Use use) {
  if (context.saved != nullptr)
    context.saved->push({.local = {}, .global = value.global, .placement = value.placement});
  const auto step = transition(value.placement, wanted);
  auto& group = context.tp;
  const bool moves = group.size() > 1 && step != Transition::none;
  if (moves) {
    if (wanted.is_shard()) check_divides(value, wanted.dim(), group.size(), module);
    const EventScope scope(context.events, {.phase = Phase::move,
                                            .module = module,
                                            .reads = value.event,
                                            .transition = step,
                                            .from = value.placement,
                                            .to = wanted,
                                            .bytes = full_bytes(value)});
    value.event = scope.id();
    const MemoryScope memory(MemoryUse::collectives);
    if (use == Use::sum_terms && can_defer(value.placement, wanted)) {
      defer(value, wanted, group);
    } else {
      value.local = apply(step, value, wanted, group);
    }
    value.gather_slot.reset();
  }
  const bool is_shared = moves && group.shares_memory() && wanted.is_replicate();
  if (use == Use::write && is_shared) value.local = value.local.clone();
  value.placement = wanted;
  return value;
}

Sharded redistribute_backward(Sharded gradient, const Context& context, const std::string& module, Use use) {
  const auto forward = context.saved->pop();
  gradient.global = forward.global;
  return redistribute(std::move(gradient), gradient_placement(forward.placement), context.without_saved(), module, use);
}

}  // namespace tpsp
