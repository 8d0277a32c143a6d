#include "tpsp/parallel/sharded.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "tpsp/core/error.h"
#include "tpsp/core/memory_use.h"

namespace tpsp {
namespace {

void check_divides(const Sharded& value, int dim, int ranks, const std::string& module) {
  const auto size = value.global.at(static_cast<std::size_t>(dim));
  if (size % ranks == 0) return;
  throw bad_input({.where = module,
                   .what = fmt::format("{} of {} elements does not divide over {} ranks", to_string(Layout::shard(dim)),
                                       size, ranks),
                   .remedy = "use a world size that divides it, or another layout"});
}

at::Tensor slice(const at::Tensor& whole, int dim, const Communicator& comm) {
  const auto length = whole.size(dim) / comm.size();
  return whole.narrow(dim, comm.rank() * length, length);
}

// Memory for the whole of a value cut along `dim`, each rank's part in its place; undefined where a collective could
// not fill it so: blocks along dim 0 lie one after the other, others only in memory that all ranks see.
at::Tensor whole_in_place(at::IntArrayRef sizes, int dim, const at::TensorOptions& options, Communicator& comm) {
  if (dim != seq_dim && !comm.shares_memory()) return {};
  auto whole = comm.new_whole(sizes, options);
  return dim == seq_dim || comm.is_shared(whole) ? whole : at::Tensor();
}

// Each rank lays its part into the whole where that can be; elsewhere collectives move contiguous blocks, one a rank:
// [ranks, ...] first, then the cut dimension where it belongs. Along dim 0 both are views, which is why activations are
// token-major.
at::Tensor all_gather(const Sharded& value, Communicator& comm) {
  const int dim = value.layout.dim();
  if (value.home.defined()) {
    comm.all_gather(value.local, value.home);
    return value.home;
  }
  const auto& local = value.local;
  auto sizes = local.sizes().vec();
  sizes.at(static_cast<std::size_t>(dim)) *= comm.size();
  if (auto whole = whole_in_place(sizes, dim, local.options(), comm); whole.defined()) {
    comm.all_gather(slice(whole, dim, comm).copy_(local), whole);
    return whole;
  }
  const auto shard = local.contiguous();
  auto blocks_shape = shard.sizes().vec();
  blocks_shape.insert(blocks_shape.begin(), comm.size());
  auto blocks = at::empty(blocks_shape, shard.options());
  comm.all_gather(shard, blocks);
  return blocks.movedim(0, dim).flatten(dim, dim + 1);
}

// [ranks, ...]: the parts that `local`, cut along `dim`, has for each rank.
at::Tensor blocks_of(const at::Tensor& local, int dim, Communicator& comm) {
  const auto ranks = comm.size();
  const auto blocks = local.unflatten(dim, {ranks, local.size(dim) / ranks}).movedim(dim, 0);
  if (blocks.is_contiguous()) return blocks;
  return comm.new_partial(blocks.sizes(), blocks.options()).copy_(blocks);
}

at::Tensor reduce_scatter(const at::Tensor& local, int dim, Communicator& comm) {
  const auto blocks = blocks_of(local, dim, comm);
  auto shard = at::empty(blocks.sizes().slice(1), blocks.options());
  comm.reduce_scatter(blocks, shard);
  return shard;
}

at::Tensor all_reduce(const at::Tensor& local, Communicator& comm) {
  const auto addend = local.contiguous();
  const auto sum = comm.shares_memory() ? comm.new_whole(addend.sizes(), addend.options()) : addend;
  comm.all_reduce(addend, sum);
  return sum;
}

at::Tensor apply(Transition step, const Sharded& value, Layout wanted, Communicator& comm) {
  switch (step) {
    case Transition::none: return value.local;
    case Transition::slice: return slice(value.local, wanted.dim(), comm);
    case Transition::reduce_scatter: return reduce_scatter(value.local, wanted.dim(), comm);
    case Transition::all_gather: return all_gather(value, comm);
    case Transition::all_gather_slice: return slice(all_gather(value, comm), wanted.dim(), comm);
    case Transition::all_reduce: return all_reduce(value.local, comm);
  }
  return {};
}

std::int64_t whole_bytes(const Sharded& value) {
  auto bytes = static_cast<std::int64_t>(value.local.element_size());
  for (const auto size : value.global) bytes *= size;
  return bytes;
}

// Notes the step, and returns what `gathered_by` becomes.
int record(TransitionLog& log, const Sharded& value, Layout wanted, Transition step, const std::string& module) {
  const bool slices = step == Transition::slice;
  log.push_back({module, value.layout, wanted, step, whole_bytes(value), slices ? value.gathered_by : -1});
  return wanted.is_replicate() ? static_cast<int>(log.size()) - 1 : -1;
}

// Refuses what does not divide, and notes the step.
void begin(Sharded& value, Layout wanted, Transition step, const ParallelContext& context, const std::string& module) {
  if (wanted.is_shard()) check_divides(value, wanted.dim(), context.comm.size(), module);
  if (context.log != nullptr) value.gathered_by = record(*context.log, value, wanted, step, module);
}

}  // namespace

Sharded new_sharded(std::vector<std::int64_t> global, Layout layout, Layout next, const at::TensorOptions& options,
                    Communicator& comm) {
  Sharded value{.local = {}, .global = std::move(global), .layout = layout};
  const bool alone = comm.size() == 1;
  if (!alone && layout.is_partial()) value.local = comm.new_partial(value.global, options);
  if (!alone && layout.is_shard() && next.is_replicate()) {
    const MemoryScope scope(MemoryUse::collectives);
    value.home = whole_in_place(value.global, layout.dim(), options, comm);
    if (value.home.defined()) value.local = slice(value.home, layout.dim(), comm);
  }
  if (value.local.defined()) return value;
  auto sizes = value.global;
  if (layout.is_shard()) sizes.at(static_cast<std::size_t>(layout.dim())) /= comm.size();
  value.local = at::empty(sizes, options);
  return value;
}

Sharded redistribute(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module) {
  const auto step = transition(value.layout, wanted);
  if (context.comm.size() > 1 && step != Transition::none) {
    begin(value, wanted, step, context, module);
    const Span span(step == Transition::slice ? nullptr : context.observer, Part::move, module);
    const MemoryScope scope(MemoryUse::collectives);
    value.local = apply(step, value, wanted, context.comm);
    value.home.reset();
  }
  value.layout = wanted;
  return value;
}

Sharded redistribute_to_own(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module) {
  const auto step = transition(value.layout, wanted);
  auto result = redistribute(std::move(value), wanted, context, module);
  const bool shared = context.comm.shares_memory() && wanted.is_replicate() && step != Transition::none;
  if (shared) result.local = result.local.clone();
  return result;
}

bool can_stay_unsummed(Layout from, Layout wanted) {
  return from.is_partial() && (wanted.is_replicate() || wanted.is_shard(seq_dim));
}

Unsummed unsummed(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module) {
  auto& comm = context.comm;
  if (comm.size() == 1) return {.addends = {value.local}};
  begin(value, wanted, transition(value.layout, wanted), context, module);
  const Span span(context.observer, Part::move, module);
  const MemoryScope scope(MemoryUse::collectives);
  const auto kind = wanted.is_replicate() ? Collective::all_reduce : Collective::reduce_scatter;
  return {.addends = comm.addends(kind, value.local), .gathered_by = value.gathered_by};
}

}  // namespace tpsp
