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

// Collectives move contiguous blocks, one a rank: [ranks, ...] first, then the cut dimension where it belongs. Along
// dim 0 both are views, which is why activations are token-major.
at::Tensor all_gather(const at::Tensor& local, int dim, Communicator& comm) {
  const auto shard = local.contiguous();
  auto blocks_shape = shard.sizes().vec();
  blocks_shape.insert(blocks_shape.begin(), comm.size());
  auto blocks = at::empty(blocks_shape, shard.options());
  comm.all_gather(shard, blocks);
  return blocks.movedim(0, dim).flatten(dim, dim + 1);
}

at::Tensor reduce_scatter(const at::Tensor& local, int dim, Communicator& comm) {
  const auto ranks = comm.size();
  const auto blocks = local.unflatten(dim, {ranks, local.size(dim) / ranks}).movedim(dim, 0).contiguous();
  auto shard = at::empty(blocks.sizes().slice(1), blocks.options());
  comm.reduce_scatter(blocks, shard);
  return shard;
}

at::Tensor apply(Transition step, const Sharded& value, Layout wanted, Communicator& comm) {
  switch (step) {
    case Transition::none: return value.local;
    case Transition::slice: return slice(value.local, wanted.dim(), comm);
    case Transition::reduce_scatter: return reduce_scatter(value.local, wanted.dim(), comm);
    case Transition::all_gather: return all_gather(value.local, value.layout.dim(), comm);
    case Transition::all_gather_slice:
      return slice(all_gather(value.local, value.layout.dim(), comm), wanted.dim(), comm);
    case Transition::all_reduce: {
      auto buffer = value.local.contiguous();
      comm.all_reduce(buffer, buffer);
      return buffer;
    }
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
  if (step == Transition::none) return value.gathered_by;
  const bool slices = step == Transition::slice;
  log.push_back({module, value.layout, wanted, step, whole_bytes(value), slices ? value.gathered_by : -1});
  return wanted.is_replicate() ? static_cast<int>(log.size()) - 1 : -1;
}

}  // namespace

Sharded redistribute(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module) {
  const auto step = transition(value.layout, wanted);
  if (context.comm.size() > 1) {
    if (wanted.is_shard()) check_divides(value, wanted.dim(), context.comm.size(), module);
    if (context.log != nullptr) value.gathered_by = record(*context.log, value, wanted, step, module);
    const bool quiet = step == Transition::none || step == Transition::slice;
    const Span span(quiet ? nullptr : context.observer, Part::move, module);
    const MemoryScope scope(MemoryUse::collectives);
    value.local = apply(step, value, wanted, context.comm);
  }
  value.layout = wanted;
  return value;
}

}  // namespace tpsp
