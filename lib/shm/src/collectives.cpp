#include "tpsp/shm/collectives.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <span>
#include <utility>

#include "tpsp/kernels/kernels.h"

namespace tpsp {
namespace {

template <typename T>
void sum_as(std::byte* out, const std::vector<const std::byte*>& terms, std::size_t begin, std::size_t count) {
  std::array<const T*, most_shm_ranks> typed{};
  std::transform(terms.begin(), terms.end(), typed.begin(),
                 [&](const std::byte* term) { return reinterpret_cast<const T*>(term) + begin; });
  kernels::sum(reinterpret_cast<T*>(out), std::span<const T* const>(typed.data(), terms.size()), count);
}

// Elements [begin, begin + count) of the terms, summed into `out`.
void sum(Dtype dtype, std::byte* out, const std::vector<const std::byte*>& terms, std::size_t begin,
         std::size_t count) {
  if (dtype == Dtype::fp32) return sum_as<float>(out, terms, begin, count);
  sum_as<kernels::Bf16>(out, terms, begin, count);
}

bool lies_in(const void* memory, const std::byte* begin, std::size_t bytes) {
  const std::less<const std::byte*> before;
  const auto* const at = static_cast<const std::byte*>(memory);
  return bytes > 0 && !before(at, begin) && before(at, begin + bytes);
}

}  // namespace

SharedCollectives::SharedCollectives(std::shared_ptr<SharedMemory> memory, int rank, int size,
                                     std::function<void(int)> check_peer)
    : memory_(std::move(memory)),
      barrier_(memory_->barrier_state(), rank, size, std::move(check_peer)),
      partials_(memory_->heap_bytes() - stage_bytes),
      gathered_(memory_->common_bytes()) {}

std::byte* SharedCollectives::alloc_partial(std::size_t bytes) {
  const auto offset = partials_.take(bytes, barrier_.epoch());
  return offset ? memory_->heap_of(rank()) + stage_bytes + *offset : nullptr;
}

std::byte* SharedCollectives::alloc_gathered(std::size_t bytes) {
  const auto offset = gathered_.take(bytes, barrier_.epoch());
  return offset ? memory_->common() + *offset : nullptr;
}

void SharedCollectives::give_back(const std::byte* memory) {
  if (is_gathered(memory)) {
    gathered_.give_back(static_cast<std::size_t>(memory - memory_->common()), barrier_.epoch());
  } else {
    partials_.give_back(offset_of(memory) - stage_bytes, barrier_.epoch());
  }
}

bool SharedCollectives::is_partial(const void* memory) const {
  return lies_in(memory, memory_->heap_of(rank()), memory_->heap_bytes());
}
bool SharedCollectives::is_gathered(const void* memory) const {
  return lies_in(memory, memory_->common(), memory_->common_bytes());
}

std::uint64_t SharedCollectives::offset_of(const void* partial) const {
  return static_cast<std::uint64_t>(static_cast<const std::byte*>(partial) - memory_->heap_of(rank()));
}

// The partial buffers, from the ranks' op descriptors.
std::vector<const std::byte*> SharedCollectives::partials() const {
  std::vector<const std::byte*> all;
  for (int peer = 0; peer < size(); ++peer) all.push_back(memory_->heap_of(peer) + barrier_.op_of(peer).offset);
  return all;
}

// The part of `count` elements that this rank sums for all. Full cache lines, so that no two ranks write into one.
SharedCollectives::Span SharedCollectives::share_of(std::size_t count) const {
  constexpr std::size_t step = 64;  // elements, of two bytes or four
  const auto ranks = static_cast<std::size_t>(size());
  const auto share = (count + ranks * step - 1) / (ranks * step) * step;
  const auto begin = std::min(count, static_cast<std::size_t>(rank()) * share);
  return {.begin = begin, .count = std::min(share, count - begin)};
}

SharedCollectives::Chunk SharedCollectives::chunk(std::size_t number) {
  const auto half = number % 2 * (stage_bytes / 2);
  Chunk chunk{.mine = memory_->heap_of(rank()) + half, .peers = {}};
  for (int peer = 0; peer < size(); ++peer) chunk.peers.push_back(memory_->heap_of(peer) + half);
  return chunk;
}

void SharedCollectives::wait(OpDescriptor op) {
  op.held = 31 * partials_.fingerprint() + gathered_.fingerprint();
  barrier_.wait(op);
}

// Of a gathered result, all ranks must name the same offset.
void SharedCollectives::wait_at_gathered(std::string_view name, std::size_t bytes, const std::byte* full) {
  auto op = describe(name, bytes);
  op.place = static_cast<std::uint64_t>(full - memory_->common()) + 1;
  wait(op);
}

std::vector<const std::byte*> SharedCollectives::exchange_partials(std::string_view purpose, std::size_t bytes,
                                                                   const void* partial) {
  wait(describe(purpose, bytes, offset_of(partial)));
  return partials();
}

void SharedCollectives::all_reduce(Dtype dtype, const void* partial, void* sum_memory, std::size_t count) {
  const auto bytes = count * bytes_of(dtype);
  auto* const result = static_cast<std::byte*>(sum_memory);
  if (!is_partial(partial)) {
    return reduce_through_stage(dtype, static_cast<const std::byte*>(partial), result, count);
  }
  wait(describe("all-reduce", bytes, offset_of(partial)));
  const auto terms = partials();
  if (is_gathered(result)) {
    const auto [begin, share] = share_of(count);
    sum(dtype, result + begin * bytes_of(dtype), terms, begin, share);
    wait_at_gathered("all-reduce, summed", bytes, result);
  } else if (result == partial) {
    reduce_to_peers(dtype, count);
  } else {
    sum(dtype, result, terms, 0, count);
  }
}

// Each rank sums its share into its own partial and copies it into the peers': no other rank reads that share.
void SharedCollectives::reduce_to_peers(Dtype dtype, std::size_t count) {
  const auto terms = partials();
  const auto [begin, share] = share_of(count);
  const auto start = begin * bytes_of(dtype);
  std::vector<std::byte*> sums;
  for (int peer = 0; peer < size(); ++peer) {
    sums.push_back(memory_->heap_of(peer) + barrier_.op_of(peer).offset + start);
  }
  constexpr std::size_t slice = 8192;  // elements: summed and copied while they are in the nearest cache
  for (std::size_t done = 0; done < share; done += slice) {
    const auto some = std::min(slice, share - done);
    const auto at = done * bytes_of(dtype);
    auto* const mine = sums[static_cast<std::size_t>(rank())] + at;
    sum(dtype, mine, terms, begin + done, some);
    for (auto* const theirs : sums) {
      if (theirs + at != mine) std::memcpy(theirs + at, mine, some * bytes_of(dtype));
    }
  }
  wait(describe("all-reduce, summed", count * bytes_of(dtype)));
}

void SharedCollectives::reduce_through_stage(Dtype dtype, const std::byte* partial, std::byte* result,
                                             std::size_t count) {
  const auto size_of_one = bytes_of(dtype);
  const auto most = stage_bytes / 2 / size_of_one;
  const bool shared_result = is_gathered(result);
  for (std::size_t done = 0; done < count; done += most) {
    const auto some = std::min(most, count - done);
    const auto [mine, peers] = chunk(chunks_++);
    std::memcpy(mine, partial + done * size_of_one, some * size_of_one);
    wait(describe("all-reduce, copied", some * size_of_one));
    const auto [begin, share] = shared_result ? share_of(some) : Span{.begin = 0, .count = some};
    sum(dtype, result + (done + begin) * size_of_one, peers, begin, share);
  }
  if (shared_result) wait_at_gathered("all-reduce, summed", count * size_of_one, result);
}

void SharedCollectives::all_gather(const void* shard, void* full, std::size_t shard_bytes) {
  const auto ranks = static_cast<std::size_t>(size());
  const auto* const from = static_cast<const std::byte*>(shard);
  auto* const to = static_cast<std::byte*>(full);
  auto* const place = to + static_cast<std::size_t>(rank()) * shard_bytes;
  if (is_gathered(full)) {
    if (!lies_in(shard, to, ranks * shard_bytes)) std::memcpy(place, from, shard_bytes);
    return wait_at_gathered("all-gather", ranks * shard_bytes, to);
  }
  if (place != from) std::memcpy(place, from, shard_bytes);
  constexpr auto most = stage_bytes / 2;
  for (std::size_t done = 0; done < shard_bytes; done += most) {
    const auto some = std::min(most, shard_bytes - done);
    const auto [mine, peers] = chunk(chunks_++);
    std::memcpy(mine, place + done, some);
    wait(describe("all-gather, copied", some));
    for (std::size_t peer = 0; peer < ranks; ++peer) {
      if (peer != static_cast<std::size_t>(rank())) std::memcpy(to + peer * shard_bytes + done, peers[peer], some);
    }
  }
}

void SharedCollectives::reduce_scatter(Dtype dtype, const void* full, void* shard, std::size_t shard_count) {
  const auto ranks = static_cast<std::size_t>(size());
  const auto first = static_cast<std::size_t>(rank()) * shard_count;
  const auto size_of_one = bytes_of(dtype);
  auto* const result = static_cast<std::byte*>(shard);
  if (is_partial(full)) {
    wait(describe("reduce-scatter", ranks * shard_count * size_of_one, offset_of(full)));
    return sum(dtype, result, partials(), first, shard_count);
  }
  const auto most = stage_bytes / 2 / ranks / size_of_one;  // of each block: every rank reads another one
  const auto* const from = static_cast<const std::byte*>(full);
  for (std::size_t done = 0; done < shard_count; done += most) {
    const auto some = std::min(most, shard_count - done);
    const auto [mine, peers] = chunk(chunks_++);
    for (std::size_t peer = 0; peer < ranks; ++peer) {
      std::memcpy(mine + peer * some * size_of_one, from + (peer * shard_count + done) * size_of_one,
                  some * size_of_one);
    }
    wait(describe("reduce-scatter, copied", some * size_of_one));
    sum(dtype, result + done * size_of_one, peers, static_cast<std::size_t>(rank()) * some, some);
  }
}

}  // namespace tpsp
