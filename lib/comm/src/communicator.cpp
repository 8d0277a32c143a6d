#include "tpsp/comm/communicator.h"

#include <ATen/ATen.h>

#include "tpsp/comm/counting.h"

namespace tpsp {

std::string_view to_string(Collective kind) {
  switch (kind) {
    case Collective::all_reduce: return "all-reduce";
    case Collective::all_gather: return "all-gather";
    case Collective::reduce_scatter: return "reduce-scatter";
  }
  return "?";
}

std::int64_t bytes_sent(Collective kind, std::int64_t whole_bytes, int ranks) {
  const std::int64_t rounds = kind == Collective::all_reduce ? 2 : 1;
  const std::int64_t times = rounds * (ranks - 1);  // dividing first keeps large sizes in 64 bits
  return times * (whole_bytes / ranks) + times * (whole_bytes % ranks) / ranks;
}

at::Tensor Communicator::new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options);
}

at::Tensor Communicator::new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options);
}

std::vector<at::Tensor> Communicator::addends(Collective kind, const at::Tensor& partial) {
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

void CountingCommunicator::count(Collective kind, const at::Tensor& whole) {
  switch (kind) {
    case Collective::all_reduce: counts_.all_reduces += 1; break;
    case Collective::all_gather: counts_.all_gathers += 1; break;
    case Collective::reduce_scatter: counts_.reduce_scatters += 1; break;
  }
  counts_.bytes += bytes_sent(kind, static_cast<std::int64_t>(whole.nbytes()), size());
}

void CountingCommunicator::all_reduce(const at::Tensor& addend, const at::Tensor& sum) {
  count(Collective::all_reduce, sum);
  ForwardingCommunicator::all_reduce(addend, sum);
}

void CountingCommunicator::all_gather(const at::Tensor& shard, const at::Tensor& whole) {
  count(Collective::all_gather, whole);
  ForwardingCommunicator::all_gather(shard, whole);
}

void CountingCommunicator::reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) {
  count(Collective::reduce_scatter, whole);
  ForwardingCommunicator::reduce_scatter(whole, shard);
}

std::vector<at::Tensor> DryCommunicator::addends(Collective kind, const at::Tensor& partial) {
  if (!shares_memory_) return Communicator::addends(kind, partial);
  const bool whole = kind == Collective::all_reduce;
  return std::vector<at::Tensor>(static_cast<std::size_t>(size_),
                                 whole ? partial : partial.narrow(0, 0, partial.size(0) / size_));
}

std::vector<at::Tensor> CountingCommunicator::addends(Collective kind, const at::Tensor& partial) {
  count(kind, partial);
  return ForwardingCommunicator::addends(kind, partial);
}

}  // namespace tpsp
