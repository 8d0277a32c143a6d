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

void Communicator::reserve(const Room&) {}

at::Tensor Communicator::new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options);
}

at::Tensor Communicator::new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options);
}

bool Communicator::is_shared(const at::Tensor&) const { return false; }

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

void DryCommunicator::Places::add(const at::Tensor& tensor, std::uint64_t epoch) {
  forget_dead(epoch);
  const auto offset = heap.take(tensor.nbytes(), epoch);
  tensors.emplace(*offset, tensor.storage().getWeakStorageImpl());
}

void DryCommunicator::Places::forget_dead(std::uint64_t epoch) {
  std::erase_if(tensors, [&](const auto& entry) {
    if (!entry.second.expired()) return false;
    heap.give_back(entry.first, epoch);
    return true;
  });
}

void DryCommunicator::meet() {
  partials_.forget_dead(epoch_);
  wholes_.forget_dead(epoch_);
  ++epoch_;
}

at::Tensor DryCommunicator::new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto tensor = Communicator::new_partial(sizes, options);
  partials_.add(tensor, epoch_);
  return tensor;
}

at::Tensor DryCommunicator::new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto tensor = Communicator::new_whole(sizes, options);
  if (shares_memory_) wholes_.add(tensor, epoch_);
  return tensor;
}

std::vector<at::Tensor> DryCommunicator::addends(Collective kind, const at::Tensor& partial) {
  if (!shares_memory_) return Communicator::addends(kind, partial);
  if (kind == Collective::all_reduce && size_ > most_whole_addends) {
    auto sum = new_whole(partial.sizes(), partial.options());
    meet();
    return {sum};
  }
  meet();
  const bool whole = kind == Collective::all_reduce;
  return std::vector<at::Tensor>(static_cast<std::size_t>(size_),
                                 whole ? partial : partial.narrow(0, 0, partial.size(0) / size_));
}

std::vector<at::Tensor> CountingCommunicator::addends(Collective kind, const at::Tensor& partial) {
  count(kind, partial);
  return ForwardingCommunicator::addends(kind, partial);
}

}  // namespace tpsp
