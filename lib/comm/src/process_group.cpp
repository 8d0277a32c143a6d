#include "tpsp/comm/process_group.h"

#include <ATen/ATen.h>

namespace tpsp {

std::string_view to_string(Collective kind) {
  switch (kind) {
    case Collective::all_reduce: return "all-reduce";
    case Collective::all_gather: return "all-gather";
    case Collective::reduce_scatter: return "reduce-scatter";
  }
  return "?";
}

std::int64_t bytes_sent(Collective kind, std::int64_t full_bytes, int ranks) {
  const std::int64_t rounds = kind == Collective::all_reduce ? 2 : 1;
  const std::int64_t times = rounds * (ranks - 1);  // dividing first keeps large sizes in 64 bits
  return times * (full_bytes / ranks) + times * (full_bytes % ranks) / ranks;
}

void ProcessGroup::reserve(const ArenaSizes&) {}

at::Tensor ProcessGroup::alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options);
}

at::Tensor ProcessGroup::alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options);
}

bool ProcessGroup::is_shared(const at::Tensor&) const { return false; }

std::vector<at::Tensor> ProcessGroup::defer_reduction(Collective kind, const at::Tensor& partial) {
  if (kind == Collective::all_reduce) {
    all_reduce(partial, partial);
    return {partial};
  }
  auto sizes = partial.sizes().vec();
  sizes.front() /= size();
  auto shard = at::empty(sizes, partial.options());
  reduce_scatter(partial, shard);
  return {shard};
}

}  // namespace tpsp
