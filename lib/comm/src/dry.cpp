#include "tpsp/comm/dry.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace tpsp {

void DryProcessGroup::Places::add(const at::Tensor& tensor, std::uint64_t epoch) {
  forget_dead(epoch);
  const auto offset = heap.take(tensor.nbytes(), epoch);
  tensors.emplace(*offset, tensor.storage().getWeakStorageImpl());
}

void DryProcessGroup::Places::forget_dead(std::uint64_t epoch) {
  std::erase_if(tensors, [&](const auto& entry) {
    if (!entry.second.expired()) return false;
    heap.give_back(entry.first, epoch);
    return true;
  });
}

bool DryProcessGroup::Places::holds(const at::Tensor& tensor) const {
  return std::any_of(tensors.begin(), tensors.end(), [&](const auto& entry) {
    const auto storage = entry.second.lock();
    return storage && storage.get() == tensor.storage().unsafeGetStorageImpl();
  });
}

void DryProcessGroup::meet() {
  partials_.forget_dead(epoch_);
  gathered_.forget_dead(epoch_);
  ++epoch_;
}

at::Tensor DryProcessGroup::alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto tensor = ProcessGroup::alloc_partial(sizes, options);
  partials_.add(tensor, epoch_);
  return tensor;
}

at::Tensor DryProcessGroup::alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto tensor = ProcessGroup::alloc_gathered(sizes, options);
  if (shares_memory_) gathered_.add(tensor, epoch_);
  return tensor;
}

std::vector<at::Tensor> DryProcessGroup::defer_reduction(Collective kind, const at::Tensor& partial) {
  if (!shares_memory_) return ProcessGroup::defer_reduction(kind, partial);
  if (kind == Collective::all_reduce && size_ > max_ranks_reading_all_partials) {
    auto sum = alloc_gathered(partial.sizes(), partial.options());
    meet();
    return {sum};
  }
  meet();
  const bool is_full = kind == Collective::all_reduce;
  return std::vector<at::Tensor>(static_cast<std::size_t>(size_),
                                 is_full ? partial : partial.narrow(0, 0, partial.size(0) / size_));
}

}  // namespace tpsp
