#include "tpsp/comm/watched.h"

namespace tpsp {

void WatchedCommunicator::wait(Collective kind) {
  const Span span(&observer_, Part::wait, to_string(kind));
  world_.barrier();
}

void WatchedCommunicator::all_reduce(const at::Tensor& addend, const at::Tensor& sum) {
  wait(Collective::all_reduce);
  const Span span(&observer_, Part::move, to_string(Collective::all_reduce));
  ForwardingCommunicator::all_reduce(addend, sum);
}

void WatchedCommunicator::all_gather(const at::Tensor& shard, const at::Tensor& whole) {
  wait(Collective::all_gather);
  const Span span(&observer_, Part::move, to_string(Collective::all_gather));
  ForwardingCommunicator::all_gather(shard, whole);
}

void WatchedCommunicator::reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) {
  wait(Collective::reduce_scatter);
  const Span span(&observer_, Part::move, to_string(Collective::reduce_scatter));
  ForwardingCommunicator::reduce_scatter(whole, shard);
}

std::vector<at::Tensor> WatchedCommunicator::addends(Collective kind, const at::Tensor& partial) {
  wait(kind);
  const Span span(&observer_, Part::move, to_string(kind));
  return ForwardingCommunicator::addends(kind, partial);
}

}  // namespace tpsp
