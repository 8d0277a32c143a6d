#include "played_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "ranks.h"

namespace tpsp {
namespace {

constexpr std::array kind_names{"all-reduce", "all-gather", "reduce-scatter", "exchange"};
constexpr std::array where_names{"elsewhere", "partial", "gathered"};
constexpr auto guard = std::byte{0x5A};
constexpr std::size_t guards = 64;

// Numbers in [-1, 1) of 24 bits, so that sums are rounded and their order shows; in bfloat16 of 8 bits and of many
// sizes.
float term(const PlayedCase& played, int rank, std::size_t i) {
  auto bits = static_cast<std::uint32_t>(i) * 0x9E3779B9U + static_cast<std::uint32_t>(played.numbers) * 0x85EBCA6BU +
              static_cast<std::uint32_t>(rank) * 0xC2B2AE35U;
  bits = (bits ^ bits >> 15U) * 0x2C1B3C6DU;
  bits = (bits ^ bits >> 12U) * 0x297A2D39U;
  if (played.dtype == Dtype::fp32) return static_cast<float>(static_cast<std::int32_t>(bits) >> 8) * 0x1p-23F;
  return static_cast<float>(static_cast<std::int32_t>(bits) >> 24) / static_cast<float>(128U << (bits & 15U));
}

// Rounded once, ties to even.
void put(float x, Dtype dtype, std::byte* at, std::size_t i) {
  if (dtype == Dtype::fp32) {
    std::memcpy(at + 4 * i, &x, 4);
    return;
  }
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto below = bits & 0xFFFFU;
  auto high = static_cast<std::uint16_t>(bits >> 16U);
  if (below > 0x8000U || (below == 0x8000U && high % 2 == 1)) ++high;
  std::memcpy(at + 2 * i, &high, 2);
}

void put_terms(const PlayedCase& played, int rank, std::size_t count, std::byte* at) {
  for (std::size_t i = 0; i < count; ++i) put(term(played, rank, i), played.dtype, at, i);
}

void put_sums(const PlayedCase& played, int ranks, std::size_t begin, std::size_t count, std::byte* at) {
  for (std::size_t i = 0; i < count; ++i) {
    float total = term(played, 0, begin + i);
    for (int rank = 1; rank < ranks; ++rank) total += term(played, rank, begin + i);
    put(total, played.dtype, at, i);
  }
}

void dawdle(bool really, std::uint64_t numbers) {
  if (!really) return;
  if (numbers % 3 == 0) return std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::microseconds(20 + numbers % 300));
}

/// How many elements go in and come out on each rank.
struct Shape {
  std::size_t in;
  std::size_t out;
};

Shape shape_of(const PlayedCase& played, std::size_t ranks) {
  switch (played.kind) {
    case Kind::all_gather: return {played.count, ranks * played.count};
    case Kind::reduce_scatter: return {ranks * played.count, played.count};
    default: return {played.count, played.count};
  }
}

}  // namespace

std::string text_of(const PlayedCase& played) {
  return fmt::format(
      "{} of {} {}, from {} to {}{}, numbers {}", kind_names[static_cast<std::size_t>(played.kind)], played.count,
      played.dtype == Dtype::fp32 ? "fp32" : "bf16", where_names[static_cast<std::size_t>(played.from)],
      where_names[static_cast<std::size_t>(played.to)], played.in_place ? " in place" : "", played.numbers);
}

// The partials of all ranks are still what each of them put there.
void Player::read_again(const Lease& lease) const {
  const auto bytes = lease.played.count * bytes_of(lease.played.dtype);
  std::vector<std::byte> expected(bytes);
  for (std::size_t rank = 0; rank < lease.terms.size(); ++rank) {
    put_terms(lease.played, static_cast<int>(rank), lease.played.count, expected.data());
    if (std::equal(expected.begin(), expected.end(), lease.terms[rank])) continue;
    throw std::runtime_error(fmt::format("rank {}: {}: the partial of rank {} was overwritten while it was leased",
                                         collectives_.rank(), text_of(lease.played), rank));
  }
}

void Player::give_back(const Memory& memory) {
  const auto lease = std::find_if(leases_.begin(), leases_.end(), [&](const Lease& one) {
    return one.terms[static_cast<std::size_t>(collectives_.rank())] == memory.at;
  });
  if (lease != leases_.end()) {
    read_again(*lease);
    leases_.erase(lease);
  }
  collectives_.give_back(memory.at);
}

Player::~Player() {
  for (const auto& memory : kept_) {
    if (memory.shared) collectives_.give_back(memory.at);
  }
}

Player::Memory Player::take(Where where, std::size_t bytes, Dtype dtype) {
  Memory memory;
  if (where == Where::partial) memory.at = collectives_.alloc_partial(bytes);
  if (where == Where::gathered) memory.at = collectives_.alloc_gathered(bytes);
  memory.shared = memory.at != nullptr;
  if (memory.shared) {
    ++(where == Where::partial ? uses_.partials : uses_.gathered);
    return memory;
  }
  if (where != Where::elsewhere) ++uses_.refused;
  const auto odd_address = bytes_of(dtype);
  memory.own.assign(odd_address + bytes + guards, guard);
  memory.at = memory.own.data() + odd_address;
  return memory;
}

void Player::give_back_old_ones() {
  std::erase_if(kept_, [&](Memory& memory) {
    if (memory.kept_for-- > 0) return false;
    if (memory.shared) give_back(memory);
    const bool intact = std::all_of(memory.own.end() - (memory.own.empty() ? 0 : guards), memory.own.end(),
                                    [](std::byte byte) { return byte == guard; });
    if (!intact) throw std::runtime_error("bytes behind the buffer were written");
    return true;
  });
}

void Player::finish() {
  for (auto& memory : kept_) memory.kept_for = 0;
  give_back_old_ones();
}

void Player::play(const PlayedCase& played) {
  give_back_old_ones();
  const auto ranks = static_cast<std::size_t>(collectives_.size());
  const auto rank = static_cast<std::size_t>(collectives_.rank());
  const auto [in, out] = shape_of(played, ranks);
  const auto one = bytes_of(played.dtype);
  // In a gathered buffer, each rank needs a block of its own for its shard.
  const bool shards = played.kind == Kind::reduce_scatter && played.to == Where::gathered;
  const auto needed = shards ? ranks * out : out;
  auto to = take(played.to, (played.in_place ? std::max(in, out) : needed) * one, played.dtype);
  auto from = played.in_place ? Memory{} : take(played.from, in * one, played.dtype);
  std::byte* source = from.at;
  std::byte* result = to.at;
  if (played.in_place) {
    const auto block = to.at + rank * played.count * one;
    source = played.kind == Kind::all_gather ? block : to.at;
    result = played.kind == Kind::reduce_scatter ? block : to.at;
  } else if (shards) {
    result += rank * out * one;
  }
  put_terms(played, collectives_.rank(), in, source);
  dawdle(played.late_rank == collectives_.rank(), played.numbers);
  call(played, source, result);
  dawdle(played.slow_reader == collectives_.rank(), played.numbers);
  check(played, result);
  to.kept_for = from.kept_for = played.kept_for;
  kept_.push_back(std::move(to));
  kept_.push_back(std::move(from));
}

void Player::call(const PlayedCase& played, const std::byte* from, std::byte* to) {
  const auto bytes = played.count * bytes_of(played.dtype);
  switch (played.kind) {
    case Kind::all_reduce: return collectives_.all_reduce(played.dtype, from, to, played.count);
    case Kind::all_gather: return collectives_.all_gather(from, to, bytes);
    case Kind::reduce_scatter: return collectives_.reduce_scatter(played.dtype, from, to, played.count);
    case Kind::exchange: break;
  }
  if (!collectives_.is_partial(from)) return collectives_.all_reduce(played.dtype, from, to, played.count);
  // A deferred reduction: the reader makes the sum later.
  const auto terms = collectives_.exchange_partials("deferred", bytes, from);
  leases_.push_back({.played = played, .terms = terms});
  dawdle(played.slow_reader == collectives_.rank(), played.numbers);
  for (std::size_t i = 0; i < played.count; ++i) {
    float total = 0;
    for (std::size_t rank = 0; rank < terms.size(); ++rank) {
      float x = 0;
      const auto one = bytes_of(played.dtype);
      std::memcpy(reinterpret_cast<std::byte*>(&x) + (4 - one), terms[rank] + i * one, one);
      total = rank == 0 ? x : total + x;
    }
    put(total, played.dtype, to, i);
  }
}

void Player::check(const PlayedCase& played, const std::byte* result) const {
  const auto out = shape_of(played, static_cast<std::size_t>(collectives_.size())).out;
  const auto bytes = out * bytes_of(played.dtype);
  static thread_local std::vector<std::byte> expected;
  expected.resize(bytes + 1);
  if (played.kind == Kind::all_gather) {
    for (int rank = 0; rank < collectives_.size(); ++rank) {
      put_terms(
          played, rank, played.count,
          expected.data() + static_cast<std::size_t>(rank) * bytes / static_cast<std::size_t>(collectives_.size()));
    }
  } else {
    const bool scattered = played.kind == Kind::reduce_scatter;
    const auto begin = scattered ? static_cast<std::size_t>(collectives_.rank()) * played.count : 0;
    put_sums(played, collectives_.size(), begin, out, expected.data());
  }
  if (std::memcmp(result, expected.data(), bytes) == 0) return;
  const auto wrong = std::mismatch(result, result + bytes, expected.begin()).first - result;
  throw std::runtime_error(fmt::format("rank {} of {}: {}: byte {} of {} differs", collectives_.rank(),
                                       collectives_.size(), text_of(played), wrong, bytes));
}

std::vector<std::string> play_on_threads(int ranks, const std::vector<PlayedCase>& cases, Uses& uses) {
  constexpr HeapSizes arenas{.partials = std::size_t{6} << 20, .gathered = std::size_t{10} << 20};
  std::mutex mutex;
  return on_ranks(ranks, arenas, [&](SharedCollectives& collectives) {
    Player player(collectives);
    for (const auto& played : cases) player.play(played);
    player.finish();
    const std::lock_guard lock(mutex);
    uses.partials += player.uses().partials;
    uses.gathered += player.uses().gathered;
    uses.refused += player.uses().refused;
  });
}

}  // namespace tpsp
