#include "shm_process_group.h"

#include <ATen/ATen.h>

#include <numeric>

#include "tpsp/comm/dtype.h"
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

ShmProcessGroup::ShmProcessGroup(std::unique_ptr<ShmHost> host, std::string name)
    : host_(std::move(host)), name_(std::move(name)) {
  make_memory({});
}

void ShmProcessGroup::make_memory(const ArenaSizes& sizes) {
  collectives_.reset();  // first, so that old and new memory are not there at once
  auto memory = host_->make_memory(SharedCollectives::stage_bytes + sizes.partial_bytes, sizes.gathered_bytes);
  collectives_ = std::make_shared<SharedCollectives>(std::move(memory), rank(), size(),
                                                     [this](int peer) { host_->check_peer(peer); });
}

void ShmProcessGroup::reserve(const ArenaSizes& sizes) {
  const auto larger = arena_.max(sizes);
  if (larger == arena_) return;
  make_memory(larger);
  arena_ = larger;
}

// The arena of what did not fit is given up too.
void ShmProcessGroup::reset() {
  arena_ = {};
  make_memory(arena_);
}

at::Tensor ShmProcessGroup::alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto* const memory = collectives_->alloc_partial(bytes_for(sizes, options));
  return memory != nullptr ? tensor_on(memory, sizes, options, collectives_) : at::empty(sizes, options);
}

at::Tensor ShmProcessGroup::alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) {
  auto* const memory = collectives_->alloc_gathered(bytes_for(sizes, options));
  return memory != nullptr ? tensor_on(memory, sizes, options, collectives_) : at::empty(sizes, options);
}

bool ShmProcessGroup::is_shared(const at::Tensor& full) const {
  return collectives_->is_gathered(full.const_data_ptr());
}

void ShmProcessGroup::all_reduce(const at::Tensor& partial, const at::Tensor& sum) {
  collectives_->all_reduce(dtype_of(partial.scalar_type()), partial.const_data_ptr(), sum.mutable_data_ptr(),
                           count_of(partial));
}

void ShmProcessGroup::all_gather(const at::Tensor& shard, const at::Tensor& full) {
  collectives_->all_gather(shard.const_data_ptr(), full.mutable_data_ptr(),
                           full.nbytes() / static_cast<std::size_t>(size()));
}

void ShmProcessGroup::reduce_scatter(const at::Tensor& full, const at::Tensor& shard) {
  collectives_->reduce_scatter(dtype_of(full.scalar_type()), full.const_data_ptr(), shard.mutable_data_ptr(),
                               count_of(shard));
}

std::vector<at::Tensor> ShmProcessGroup::defer_reduction(Collective kind, const at::Tensor& partial) {
  // With more ranks, reading every full partial costs each of them more than summing a share and reading the sum.
  const bool too_many = kind == Collective::all_reduce && size() > max_ranks_reading_all_partials;
  if (too_many) {
    auto sum = alloc_gathered(partial.sizes(), partial.options());
    all_reduce(partial, sum);
    return {sum};
  }
  if (!collectives_->is_partial(partial.const_data_ptr())) return ProcessGroup::defer_reduction(kind, partial);
  auto sizes = partial.sizes().vec();
  std::size_t offset = 0;
  if (kind == Collective::reduce_scatter) {
    sizes.front() /= size();
    offset = partial.nbytes() / static_cast<std::size_t>(size()) * static_cast<std::size_t>(rank());
  }
  const auto* const purpose = kind == Collective::all_reduce ? "deferred all-reduce" : "deferred reduce-scatter";
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
