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
void sum(Element element, std::byte* out, const std::vector<const std::byte*>& terms, std::size_t begin,
         std::size_t count) {
  if (element == Element::fp32) return sum_as<float>(out, terms, begin, count);
  sum_as<kernels::Bf16>(out, terms, begin, count);
}

bool lies_in(const void* memory, const std::byte* begin, std::size_t bytes) {
  const std::less<const std::byte*> before;
  const auto* const at = static_cast<const std::byte*>(memory);
  return bytes > 0 && !before(at, begin) && before(at, begin + bytes);
}

}  // namespace

std::size_t bytes_of(Element element) { return element == Element::fp32 ? 4 : 2; }

SharedCollectives::SharedCollectives(std::shared_ptr<SharedMemory> memory, int rank, int size,
                                     std::function<void(int)> look_after_peers)
    : memory_(std::move(memory)),
      meeting_(memory_->place(), rank, size, std::move(look_after_peers)),
      partials_(memory_->heap_bytes() - stage_bytes),
      wholes_(memory_->common_bytes()) {}

std::byte* SharedCollectives::take_partial(std::size_t bytes) {
  const auto offset = partials_.take(bytes, meeting_.epoch());
  return offset ? memory_->heap_of(rank()) + stage_bytes + *offset : nullptr;
}

std::byte* SharedCollectives::take_whole(std::size_t bytes) {
  const auto offset = wholes_.take(bytes, meeting_.epoch());
  return offset ? memory_->common() + *offset : nullptr;
}

void SharedCollectives::give_back(const std::byte* memory) {
  if (is_whole(memory)) {
    wholes_.give_back(static_cast<std::size_t>(memory - memory_->common()), meeting_.epoch());
  } else {
    partials_.give_back(offset_of(memory) - stage_bytes, meeting_.epoch());
  }
}

bool SharedCollectives::is_partial(const void* memory) const {
  return lies_in(memory, memory_->heap_of(rank()), memory_->heap_bytes());
}
bool SharedCollectives::is_whole(const void* memory) const {
  return lies_in(memory, memory_->common(), memory_->common_bytes());
}

std::uint64_t SharedCollectives::offset_of(const void* partial) const {
  return static_cast<std::uint64_t>(static_cast<const std::byte*>(partial) - memory_->heap_of(rank()));
}

// Where the ranks said that their parts lie.
std::vector<const std::byte*> SharedCollectives::partials() const {
  std::vector<const std::byte*> all;
  for (int peer = 0; peer < size(); ++peer) all.push_back(memory_->heap_of(peer) + meeting_.errand_of(peer).offset);
  return all;
}

// The part of `count` elements that this rank sums for all. Whole cache lines, so that no two ranks write into one.
SharedCollectives::Span SharedCollectives::share_of(std::size_t count) const {
  constexpr std::size_t step = 64;  // elements, of two bytes or four
  const auto ranks = static_cast<std::size_t>(size());
  const auto share = (count + ranks * step - 1) / (ranks * step) * step;
  const auto begin = std::min(count, static_cast<std::size_t>(rank()) * share);
  return {.begin = begin, .count = std::min(share, count - begin)};
}

SharedCollectives::Chunk SharedCollectives::chunk(std::size_t turn) {
  const auto half = turn % 2 * (stage_bytes / 2);
  Chunk chunk{.mine = memory_->heap_of(rank()) + half, .peers = {}};
  for (int peer = 0; peer < size(); ++peer) chunk.peers.push_back(memory_->heap_of(peer) + half);
  return chunk;
}

// Where the result is one for all, all must mean the same one.
void SharedCollectives::meet_at_whole(std::string_view name, std::size_t bytes, const std::byte* whole) {
  auto errand = make_errand(name, bytes);
  errand.place = static_cast<std::uint64_t>(whole - memory_->common()) + 1;
  meeting_.meet(errand);
}

std::vector<const std::byte*> SharedCollectives::exchange_partials(std::string_view purpose, std::size_t bytes,
                                                                   const void* partial) {
  meeting_.meet(make_errand(purpose, bytes, offset_of(partial)));
  return partials();
}

void SharedCollectives::all_reduce(Element element, const void* addend, void* sum_memory, std::size_t count) {
  const auto bytes = count * bytes_of(element);
  auto* const result = static_cast<std::byte*>(sum_memory);
  if (!is_partial(addend)) {
    return reduce_through_stage(element, static_cast<const std::byte*>(addend), result, count);
  }
  meeting_.meet(make_errand("all-reduce", bytes, offset_of(addend)));
  const auto terms = partials();
  if (is_whole(result)) {
    const auto [begin, share] = share_of(count);
    sum(element, result + begin * bytes_of(element), terms, begin, share);
    meet_at_whole("all-reduce, summed", bytes, result);
  } else if (result == addend) {
    reduce_to_peers(element, count);
  } else {
    sum(element, result, terms, 0, count);
  }
}

// Each rank sums its share into its own addend and copies it into the others': nobody else reads that share.
void SharedCollectives::reduce_to_peers(Element element, std::size_t count) {
  const auto terms = partials();
  const auto [begin, share] = share_of(count);
  const auto start = begin * bytes_of(element);
  std::vector<std::byte*> sums;
  for (int peer = 0; peer < size(); ++peer) {
    sums.push_back(memory_->heap_of(peer) + meeting_.errand_of(peer).offset + start);
  }
  constexpr std::size_t slice = 8192;  // elements: summed and copied while they are in the nearest cache
  for (std::size_t done = 0; done < share; done += slice) {
    const auto some = std::min(slice, share - done);
    const auto at = done * bytes_of(element);
    auto* const mine = sums[static_cast<std::size_t>(rank())] + at;
    sum(element, mine, terms, begin + done, some);
    for (auto* const theirs : sums) {
      if (theirs + at != mine) std::memcpy(theirs + at, mine, some * bytes_of(element));
    }
  }
  meeting_.meet(make_errand("all-reduce, summed", count * bytes_of(element)));
}

void SharedCollectives::reduce_through_stage(Element element, const std::byte* addend, std::byte* result,
                                             std::size_t count) {
  const auto size_of_one = bytes_of(element);
  const auto room = stage_bytes / 2 / size_of_one;
  const bool shared_result = is_whole(result);
  for (std::size_t done = 0; done < count; done += room) {
    const auto some = std::min(room, count - done);
    const auto [mine, peers] = chunk(turns_++);
    std::memcpy(mine, addend + done * size_of_one, some * size_of_one);
    meeting_.meet(make_errand("all-reduce, copied", some * size_of_one));
    const auto [begin, share] = shared_result ? share_of(some) : Span{.begin = 0, .count = some};
    sum(element, result + (done + begin) * size_of_one, peers, begin, share);
  }
  if (shared_result) meet_at_whole("all-reduce, summed", count * size_of_one, result);
}

void SharedCollectives::all_gather(const void* shard, void* whole, std::size_t shard_bytes) {
  const auto ranks = static_cast<std::size_t>(size());
  const auto* const from = static_cast<const std::byte*>(shard);
  auto* const to = static_cast<std::byte*>(whole);
  auto* const place = to + static_cast<std::size_t>(rank()) * shard_bytes;
  if (is_whole(whole)) {
    if (!lies_in(shard, to, ranks * shard_bytes)) std::memcpy(place, from, shard_bytes);
    return meet_at_whole("all-gather", ranks * shard_bytes, to);
  }
  if (place != from) std::memcpy(place, from, shard_bytes);
  constexpr auto room = stage_bytes / 2;
  for (std::size_t done = 0; done < shard_bytes; done += room) {
    const auto some = std::min(room, shard_bytes - done);
    const auto [mine, peers] = chunk(turns_++);
    std::memcpy(mine, place + done, some);
    meeting_.meet(make_errand("all-gather, copied", some));
    for (std::size_t peer = 0; peer < ranks; ++peer) {
      if (peer != static_cast<std::size_t>(rank())) std::memcpy(to + peer * shard_bytes + done, peers[peer], some);
    }
  }
}

void SharedCollectives::reduce_scatter(Element element, const void* whole, void* shard, std::size_t shard_count) {
  const auto ranks = static_cast<std::size_t>(size());
  const auto first = static_cast<std::size_t>(rank()) * shard_count;
  const auto size_of_one = bytes_of(element);
  auto* const result = static_cast<std::byte*>(shard);
  if (is_partial(whole)) {
    meeting_.meet(make_errand("reduce-scatter", ranks * shard_count * size_of_one, offset_of(whole)));
    return sum(element, result, partials(), first, shard_count);
  }
  const auto room = stage_bytes / 2 / ranks / size_of_one;  // of each block: every rank reads another one
  const auto* const from = static_cast<const std::byte*>(whole);
  for (std::size_t done = 0; done < shard_count; done += room) {
    const auto some = std::min(room, shard_count - done);
    const auto [mine, peers] = chunk(turns_++);
    for (std::size_t peer = 0; peer < ranks; ++peer) {
      std::memcpy(mine + peer * some * size_of_one, from + (peer * shard_count + done) * size_of_one,
                  some * size_of_one);
    }
    meeting_.meet(make_errand("reduce-scatter, copied", some * size_of_one));
    sum(element, result + done * size_of_one, peers, static_cast<std::size_t>(rank()) * some, some);
  }
}

}  // namespace tpsp
