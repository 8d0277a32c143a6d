// Collectives between threads, whose results must have the bits of the sum in rank order, rounded once.
#include "tpsp/shm/collectives.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "played_cases.h"
#include "ranks.h"

using namespace tpsp;
using Catch::Contains;

namespace {

std::vector<PlayedCase> places_of(Kind kind) {
  std::vector<PlayedCase> all;
  for (const auto to : {Where::elsewhere, Where::partial, Where::gathered}) {
    // In a gathered buffer, only an all-gather has a block for each rank as its input; after an exchange each reader
    // makes a sum of its own.
    const bool in_place = kind == Kind::all_gather || (kind != Kind::exchange && to != Where::gathered);
    if (in_place) all.push_back({.kind = kind, .from = to, .to = to, .in_place = true});
    if (kind == Kind::exchange && to == Where::gathered) continue;
    for (const auto from : {Where::elsewhere, Where::partial}) all.push_back({.kind = kind, .from = from, .to = to});
  }
  return all;
}

std::vector<PlayedCase> all_places() {
  std::vector<PlayedCase> all;
  for (const auto kind : {Kind::all_reduce, Kind::all_gather, Kind::reduce_scatter, Kind::exchange}) {
    for (const auto& place : places_of(kind)) all.push_back(place);
  }
  return all;
}

// Elements that go through the stage at once: half of it, of which a reduce-scatter gives each block a part.
std::size_t chunk_of(const PlayedCase& played, int ranks) {
  const auto half = SharedCollectives::stage_bytes / 2;
  const auto blocks = played.kind == Kind::reduce_scatter ? static_cast<std::size_t>(ranks) : 1;
  return half / blocks / bytes_of(played.dtype);
}

std::vector<PlayedCase> with_sizes(int ranks, bool around_a_chunk) {
  std::vector<PlayedCase> cases;
  for (auto played : all_places()) {
    for (const auto dtype : {Dtype::fp32, Dtype::bf16}) {
      played.dtype = dtype;
      const auto chunk = chunk_of(played, ranks);
      const std::vector<std::size_t> small{0, 1, 3, 17, 63, 64, 65, 1000, 4096 + 5};
      const std::vector<std::size_t> large{chunk, chunk + 1, 2 * chunk + 5};
      for (const auto count : around_a_chunk ? large : small) {
        played.count = count;
        played.numbers = cases.size();
        cases.push_back(played);
      }
    }
  }
  return cases;
}

std::size_t number_from(const char* variable, std::size_t standard) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? standard : std::stoul(text);
}

// Some 1 in 100 is large; elements times ranks, which the checking takes time for, stay in bounds.
std::size_t random_count(std::mt19937& random, int ranks) {
  const auto dice = random() % 100;
  if (dice < 8) return random() % 4;
  const double most = dice == 99 ? 500'000.0 / ranks : 4000.0;
  return static_cast<std::size_t>(std::pow(most, std::uniform_real_distribution<>(0, 1)(random)));
}

int random_rank_of_20(std::mt19937& random, int ranks) {
  const auto drawn = static_cast<int>(random() % 20);
  return drawn < ranks && drawn < 4 ? static_cast<int>(random() % static_cast<unsigned>(ranks)) : -1;
}

std::vector<PlayedCase> random_cases(std::size_t how_many, int ranks, std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto places = all_places();
  std::vector<PlayedCase> cases;
  for (std::size_t i = 0; i < how_many; ++i) {
    auto played = places[random() % places.size()];
    played.dtype = random() % 2 == 0 ? Dtype::fp32 : Dtype::bf16;
    played.count = random_count(random, ranks);
    played.kept_for = random() % 2 == 0 ? 0 : static_cast<int>(random() % 12);
    played.late_rank = random_rank_of_20(random, ranks);
    played.slow_reader = random_rank_of_20(random, ranks);
    played.numbers = random();
    cases.push_back(played);
  }
  return cases;
}

}  // namespace

TEST_CASE("every collective gives the sum in rank order from every memory to every memory") {
  const int ranks = GENERATE(range(1, 9));
  CAPTURE(ranks);
  Uses uses;
  CHECK(play_on_threads(ranks, with_sizes(ranks, false), uses) == nothing_on(ranks));
  CHECK(uses.partials > 0);
  CHECK(uses.gathered > 0);
}

TEST_CASE("every collective gives the sum where buffers are about as large as the stage", "[large]") {
  const int ranks = GENERATE(1, 2, 5);
  CAPTURE(ranks);
  Uses uses;
  CHECK(play_on_threads(ranks, with_sizes(ranks, true), uses) == nothing_on(ranks));
}

TEST_CASE("thousands of random collectives, one after the other, all have the bits of the plain sum") {
  const auto how_many = number_from("TPSP_TEST_COLLECTIVES", 10'000);
  const auto seed = static_cast<std::uint32_t>(number_from("TPSP_TEST_SEED", 20240601));
  Uses uses;
  for (int ranks = 2; ranks <= 8; ++ranks) {
    INFO("TPSP_TEST_SEED=" << seed << " TPSP_TEST_COLLECTIVES=" << how_many << ", " << ranks << " ranks");
    const auto cases = random_cases((how_many + 6) / 7, ranks, seed + static_cast<std::uint32_t>(ranks));
    REQUIRE(play_on_threads(ranks, cases, uses) == nothing_on(ranks));
  }
  CHECK(uses.partials > uses.refused);
  CHECK(uses.gathered > uses.refused);
}

TEST_CASE("a rank that runs ahead overwrites nothing that a slower one still reads") {
  const int ranks = GENERATE(2, 3, 5);
  const auto place = GENERATE(from_range(all_places()));
  std::vector<PlayedCase> cases;
  for (std::uint64_t i = 0; i < 60; ++i) {
    auto played = place;
    played.dtype = i % 2 == 0 ? Dtype::fp32 : Dtype::bf16;
    played.count = 200 + i % 5;
    played.late_rank = i % 4 == 0 ? static_cast<int>(i) % ranks : -1;
    played.slow_reader = static_cast<int>(i / 7) % ranks;
    played.numbers = i;
    cases.push_back(played);
  }
  CAPTURE(ranks, text_of(place));
  Uses uses;
  CHECK(play_on_threads(ranks, cases, uses) == nothing_on(ranks));
}

TEST_CASE("a heap that is full makes collectives slower and changes nothing else") {
  constexpr int ranks = 3;
  std::vector<PlayedCase> cases;
  for (auto played : all_places()) {
    played.count = 300'000;
    played.kept_for = 20;
    played.numbers = cases.size();
    cases.push_back(played);
  }
  Uses uses;
  CHECK(play_on_threads(ranks, cases, uses) == nothing_on(ranks));
  CHECK(uses.refused > 0);
}

TEST_CASE("blocks that are columns of a gathered buffer are gathered by a barrier alone") {
  constexpr std::size_t rows = 5;
  constexpr std::size_t width = 3;  // of each rank
  const int ranks = GENERATE(1, 2, 4);
  const auto columns = static_cast<std::size_t>(ranks) * width;
  const auto thrown = on_ranks(ranks, {.partials = 0, .gathered = 1 << 16}, [&](SharedCollectives& collectives) {
    auto* const full = collectives.alloc_gathered(rows * columns);
    auto* const mine = full + static_cast<std::size_t>(collectives.rank()) * width;
    for (std::size_t row = 0; row < rows; ++row) {
      std::memset(mine + row * columns, collectives.rank() + 1, width);
    }
    collectives.all_gather(mine, full, rows * width);
    for (std::size_t i = 0; i < rows * columns; ++i) {
      if (full[i] != static_cast<std::byte>(i % columns / width + 1)) throw std::runtime_error("another block");
    }
  });
  CHECK(thrown == nothing_on(ranks));
}

TEST_CASE("ranks that call different collectives, sizes or memory fail") {
  const auto complaints = [&](const auto& body) {
    return on_ranks(2, {.partials = 1 << 16, .gathered = 1 << 16}, [&](SharedCollectives& collectives) {
      std::vector<float> in(64);
      std::vector<float> out(128);
      body(collectives, collectives.rank() == 0, in.data(), out.data());
    });
  };
  const auto kinds = complaints([](auto& collectives, bool first, float* in, float* out) {
    if (first) return collectives.all_reduce(Dtype::fp32, in, out, 64);
    collectives.all_gather(in, out, 256);
  });
  const auto sizes = complaints([](auto& collectives, bool first, float* in, float* out) {
    collectives.all_reduce(Dtype::fp32, in, out, first ? 64 : 63);
  });
  const auto memory = complaints([](auto& collectives, bool first, float* in, float* out) {
    const void* const partial = collectives.alloc_partial(256);
    collectives.all_reduce(Dtype::fp32, first ? in : partial, out, 64);
  });
  const auto places = complaints([](auto& collectives, bool first, float* in, float*) {
    auto* const one = collectives.alloc_gathered(512);
    auto* const another = collectives.alloc_gathered(512);
    collectives.all_gather(in, first ? one : another, 256);
  });
  for (const std::size_t rank : {0U, 1U}) {
    CHECK_THAT(kinds[rank], Contains("all-reduce") && Contains("all-gather"));
    CHECK_THAT(sizes[rank], Contains("256 bytes") && Contains("252 bytes"));
    CHECK_THAT(memory[rank], Contains("'all-reduce, 256 bytes'") && Contains("'all-reduce, copied, 256 bytes'"));
    CHECK_THAT(places[rank], Contains("all-gather, 512 bytes, at byte 4096 of the common memory"));
  }
}

TEST_CASE("a rank that holds other registered memory than its peers is refused") {
  const auto complaints = [](auto give_back) {
    return on_ranks(2, {.partials = 1 << 16, .gathered = 0}, [&](SharedCollectives& collectives) {
      std::vector<float> numbers(64);
      const auto* const first = collectives.alloc_partial(256);
      const auto* const second = collectives.alloc_partial(256);
      collectives.exchange_partials("deferred", 256, first);
      collectives.exchange_partials("deferred", 256, second);
      give_back(collectives, first, second);
      collectives.all_reduce(Dtype::fp32, numbers.data(), numbers.data(), 64);
    });
  };
  const auto earlier = complaints([](auto& collectives, const auto* first, const auto*) {
    if (collectives.rank() == 0) collectives.give_back(first);
  });
  const auto another = complaints([](auto& collectives, const auto* first, const auto* second) {
    collectives.give_back(collectives.rank() == 0 ? first : second);
  });
  for (const auto& one : {earlier, another}) {
    CHECK_THAT(one[0], Contains("rank 0 of this host holds other registered memory than rank 1"));
    CHECK_THAT(one[1], Contains("rank 1 of this host holds other registered memory than rank 0"));
  }
  const auto alike = complaints([](auto& collectives, const auto* first, const auto* second) {
    collectives.give_back(collectives.rank() == 0 ? first : second);
    collectives.give_back(collectives.rank() == 0 ? second : first);
  });
  CHECK(alike == nothing_on(2));
}

TEST_CASE("memory says what it is") {
  const auto thrown = on_ranks(2, {.partials = 1 << 16, .gathered = 1 << 16}, [](SharedCollectives& collectives) {
    const auto* const partial = collectives.alloc_partial(100);
    const auto* const gathered = collectives.alloc_gathered(100);
    const int elsewhere = 0;
    const bool right = collectives.is_partial(partial) && !collectives.is_gathered(partial) &&
                       collectives.is_gathered(gathered) && !collectives.is_partial(gathered) &&
                       !collectives.is_partial(&elsewhere) && !collectives.is_gathered(&elsewhere);
    if (!right) throw std::runtime_error("it says otherwise");
    if (reinterpret_cast<std::uintptr_t>(partial) % 64 != 0) throw std::runtime_error("not at a cache line");
    if (collectives.alloc_partial(1 << 16) != nullptr) throw std::runtime_error("more than there is");
    collectives.give_back(gathered);
    collectives.give_back(partial);
    if (collectives.alloc_partial(100) == partial) throw std::runtime_error("given again before the next barrier");
    if (collectives.alloc_gathered(100) == gathered) throw std::runtime_error("given again before the next barrier");
  });
  CHECK(thrown == nothing_on(2));
}
