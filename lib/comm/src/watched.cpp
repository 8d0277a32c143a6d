#include "tpsp/comm/watched.h"

namespace tpsp {

void WatchedCommunicator::wait(Collective kind) {
  const Span span(&observer_, Part::wait, to_string(kind));
  world_.barrier();
}

void WatchedCommunicator::all_reduce(const at::Tensor& buffer) {
  wait(Collective::all_reduce);
  const Span span(&observer_, Part::move, to_string(Collective::all_reduce));
  inner_.all_reduce(buffer);
}

void WatchedCommunicator::all_gather(const at::Tensor& shard, const at::Tensor& whole) {
  wait(Collective::all_gather);
  const Span span(&observer_, Part::move, to_string(Collective::all_gather));
  inner_.all_gather(shard, whole);
}

void WatchedCommunicator::reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) {
  wait(Collective::reduce_scatter);
  const Span span(&observer_, Part::move, to_string(Collective::reduce_scatter));
  inner_.reduce_scatter(whole, shard);
}

}  // namespace tpsp
