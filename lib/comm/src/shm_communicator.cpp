#include "shm_communicator.h"

#include <ATen/ATen.h>

#include <numeric>

#include "tpsp/core/memory_use.h"

namespace tpsp {
namespace {

std::size_t count_of(const at::Tensor& tensor) { return static_cast<std::size_t>(tensor.numel()); }

std::size_t bytes_for(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const auto elements = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
  return static_cast<std::size_t>(elements) * options.dtype().itemsize();
}

// A tensor on memory of `owner`'s, given back with it, and counted as if an allocator had made it.
at::Tensor tensor_on(std::byte* memory, at::IntArrayRef sizes, const at::TensorOptions& options,
                     const std::shared_ptr<SharedCollectives>& owner) {
  auto* const counter = dynamic_cast<MemoryCounter*>(c10::GetAllocator(c10::kCPU));
  const auto bytes = static_cast<std::int64_t>(bytes_for(sizes, options));
  const auto ticket = counter != nullptr ? counter->count(bytes) : nullptr;
  return at::from_blob(
      memory, sizes, [owner, ticket](void* data) { owner->give_back(static_cast<const std::byte*>(data)); }, options);
}

}  // namespace

Element element_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? Element::bf16 : Element::fp32;
}

ShmCommunicator::ShmCommunicator(std::unique_ptr<ShmHost> host, std::string name)
    : host_(std::move(host)), name_(std::move(name)) {
  make_memory({});
}

void ShmCommunicator::make_memory(const Room& room) {
  collectives_.reset();  // first, so that old and new memory are not there at once
  auto memory = host_->make_memory(SharedCollectives::stage_bytes + room.partial_bytes, room.whole_bytes);
  collectives_ = std::make_shared<SharedCollectives>(std::move(memory), rank(), size(),
                                                     [this](int peer) { host_->look_after(peer); });
}

void ShmCommunicator::reserve(const Room& room) {
  const auto larger = room_.max(room);
  if (larger == room_) return;
  make_memory(larger);
  room_ = larger;
}

at::Tensor ShmCommunicator::new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto* const memory = collectives_->take_partial(bytes_for(sizes, options));
  return memory != nullptr ? tensor_on(memory, sizes, options, collectives_) : at::empty(sizes, options);
}

at::Tensor ShmCommunicator::new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto* const memory = collectives_->take_whole(bytes_for(sizes, options));
  return memory != nullptr ? tensor_on(memory, sizes, options, collectives_) : at::empty(sizes, options);
}

bool ShmCommunicator::is_shared(const at::Tensor& whole) const {
  return collectives_->is_whole(whole.const_data_ptr());
}

void ShmCommunicator::all_reduce(const at::Tensor& addend, const at::Tensor& sum) {
  collectives_->all_reduce(element_of(addend), addend.const_data_ptr(), sum.mutable_data_ptr(), count_of(addend));
}

void ShmCommunicator::all_gather(const at::Tensor& shard, const at::Tensor& whole) {
  collectives_->all_gather(shard.const_data_ptr(), whole.mutable_data_ptr(),
                           whole.nbytes() / static_cast<std::size_t>(size()));
}

void ShmCommunicator::reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) {
  collectives_->reduce_scatter(element_of(whole), whole.const_data_ptr(), shard.mutable_data_ptr(), count_of(shard));
}

std::vector<at::Tensor> ShmCommunicator::addends(Collective kind, const at::Tensor& partial) {
  // With more ranks, reading every addend whole costs each of them more than summing a share and reading the sum.
  const bool too_many = kind == Collective::all_reduce && size() > most_whole_addends;
  if (too_many) {
    auto sum = new_whole(partial.sizes(), partial.options());
    all_reduce(partial, sum);
    return {sum};
  }
  if (!collectives_->is_partial(partial.const_data_ptr())) return Communicator::addends(kind, partial);
  auto sizes = partial.sizes().vec();
  std::size_t offset = 0;
  if (kind == Collective::reduce_scatter) {
    sizes.front() /= size();
    offset = partial.nbytes() / static_cast<std::size_t>(size()) * static_cast<std::size_t>(rank());
  }
  const auto* const purpose = kind == Collective::all_reduce ? "unsummed all-reduce" : "unsummed reduce-scatter";
  std::vector<at::Tensor> terms;
  const auto tensor_at = [&](const std::byte* memory) {
    return at::from_blob(
        const_cast<std::byte*>(memory) + offset, sizes, [partial](void*) {}, partial.options());
  };
  for (const auto* memory : collectives_->exchange_partials(purpose, partial.nbytes(), partial.const_data_ptr())) {
    terms.push_back(tensor_at(memory));
  }
  return terms;
}

}  // namespace tpsp
