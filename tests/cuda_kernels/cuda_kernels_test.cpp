// The kernels for GPUs, compiled for the host and run by a stand-in for the device, against those for CPUs.
#include "tpsp/kernels/cuda.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/elements.h"

using namespace tpsp::kernels;

namespace {

constexpr cuda::Stream no_stream = nullptr;

/// Elements that start at an address of 16 bytes, or `shift` elements behind one.
template <typename T>
class Elements {
 public:
  explicit Elements(std::size_t count, std::size_t shift = 0) : memory_(count + shift + 16 / sizeof(T), T{}) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    first_ = (16 - address % 16) % 16 / sizeof(T) + shift;
    count_ = count;
  }
  static Elements random(std::size_t count, unsigned seed, std::size_t shift = 0) {
    Elements all(count, shift);
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < count; ++i) all[i] = nearest<T>(normal(generator));
    return all;
  }
  T* data() { return memory_.data() + first_; }
  T& operator[](std::size_t i) { return data()[i]; }
  std::size_t size() const { return count_; }

 private:
  std::vector<T> memory_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

// Of two bf16 results that were rounded from fp32 values next to each other.
template <typename T>
double tolerance() {
  return sizeof(T) == 2 ? 0x1p-7 : 0x1p-18;
}

template <typename T>
void check_near(Elements<T>& actual, Elements<T>& expected) {
  REQUIRE(actual.size() == expected.size());
  double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(number(actual[i]) - number(expected[i]));
    largest = std::max(largest, difference / (std::abs(number(expected[i])) + 0.1));
  }
  CHECK(largest <= tolerance<T>());
}

template <typename T>
void check_equal(Elements<T>& actual, Elements<T>& expected) {
  REQUIRE(actual.size() == expected.size());
  CHECK(std::memcmp(actual.data(), expected.data(), actual.size() * sizeof(T)) == 0);
}

template <typename T>
void check_add_norm(std::size_t rows, std::size_t width, bool adds, std::size_t shift = 0) {
  CAPTURE(rows, width, adds, shift, sizeof(T));
  auto stream = Elements<T>::random(rows * width, 1, shift);
  auto term = Elements<T>::random(rows * width, 2);
  auto weight = Elements<T>::random(width, 3);
  Elements<T> sum(rows * width), normed(rows * width), expected_sum(rows * width), expected(rows * width);
  const T* const terms[] = {term.data()};
  AddNorm<T> job{.terms = {terms, adds ? 1U : 0U},
                 .stream = stream.data(),
                 .sum = adds ? expected_sum.data() : stream.data(),
                 .weight = weight.data(),
                 .normed = expected.data(),
                 .rows = rows,
                 .width = width,
                 .eps = 1e-5F};
  add_norm(job);
  if (adds) job.sum = sum.data();
  job.normed = normed.data();
  cuda::add_norm(job, no_stream);
  check_equal(sum, expected_sum);
  check_near(normed, expected);
}

}  // namespace

TEMPLATE_TEST_CASE("add_norm on a GPU gives what it gives on a CPU, whatever the width and alignment", "", float,
                   Bf16) {
  for (const bool adds : {true, false}) {
    for (const std::size_t width : {1U, 7U, 96U, 130U, 1024U}) check_add_norm<TestType>(3, width, adds);
    check_add_norm<TestType>(2, 96, adds, 1);
  }
  check_add_norm<TestType>(0, 96, true);
}

TEST_CASE("rows that a block cannot keep are read again") {
  check_add_norm<float>(1, 4 * 4 * 1024 + 4 * 100, true);
  check_add_norm<float>(1, 4 * 1024 + 3, false);  // in single elements
}

TEST_CASE("add_norm over its own stream leaves the sum there, and several terms are refused") {
  auto stream = Elements<float>::random(2 * 64, 1);
  auto term = Elements<float>::random(2 * 64, 2);
  auto weight = Elements<float>::random(64, 3);
  Elements<float> normed(2 * 64), expected(2 * 64);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = stream[i] + term[i];
  const float* const terms[] = {term.data(), term.data()};
  AddNorm<float> job{.terms = {terms, 1},
                     .stream = stream.data(),
                     .sum = stream.data(),
                     .weight = weight.data(),
                     .normed = normed.data(),
                     .rows = 2,
                     .width = 64,
                     .eps = 1e-5F};
  cuda::add_norm(job, no_stream);
  check_equal(stream, expected);
  job.terms = {terms, 2};
  CHECK_THROWS_AS(cuda::add_norm(job, no_stream), std::runtime_error);
}

TEMPLATE_TEST_CASE("queries and keys are turned, values copied, from rows of features to heads", "", float, Bf16) {
  using T = TestType;
  struct Size {
    std::size_t half;
    std::size_t queries;
    std::size_t keys;
  };
  for (const auto [half, queries, keys] : {Size{8, 4, 4}, Size{3, 4, 2}, Size{32, 3, 1}}) {
    constexpr std::size_t seq = 5, batch = 2;
    CAPTURE(half, queries, keys, sizeof(T));
    const std::size_t features = (queries + 2 * keys) * 2 * half;
    auto rows = Elements<T>::random(seq * batch * features, 1);
    auto cos = Elements<float>::random(seq * half, 2);
    auto sin = Elements<float>::random(seq * half, 3);
    std::vector<Elements<T>> outs, expected;
    cuda::RotateHeads<T> job{
        .each = {}, .cos = cos.data(), .sin = sin.data(), .seq = seq, .batch = batch, .half = half};
    auto& each = job.each;
    std::size_t first = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const auto heads = i == 0 ? queries : keys;
      outs.emplace_back(heads * seq * batch * 2 * half);
      expected.emplace_back(heads * seq * batch * 2 * half);
      each[i] = {.in = rows.data() + first,
                 .seq_stride = batch * features,
                 .batch_stride = features,
                 .head_stride = 2 * half,
                 .out = nullptr,
                 .heads = heads,
                 .turned = i < 2};
      for (std::size_t s = 0; s < seq; ++s) {
        for (std::size_t b = 0; b < batch; ++b) {
          const T* const in = each[i].in + s * each[i].seq_stride + b * each[i].batch_stride;
          T* const out = expected[i].data() + (b * heads * seq + s) * 2 * half;
          if (i < 2) {
            rotate({out, seq * 2 * half}, {in, 2 * half}, cos.data() + s * half, sin.data() + s * half, heads, half);
            continue;
          }
          for (std::size_t head = 0; head < heads; ++head) {
            std::memcpy(out + head * seq * 2 * half, in + head * 2 * half, 2 * half * sizeof(T));
          }
        }
      }
      first += heads * 2 * half;
    }
    for (std::size_t i = 0; i < 3; ++i) each[i].out = outs[i].data();
    cuda::rotate(job, no_stream);
    for (std::size_t i = 0; i < 2; ++i) check_near(outs[i], expected[i]);
    check_equal(outs[2], expected[2]);
  }
}

TEMPLATE_TEST_CASE("SwiGLU on a GPU gives what it gives on a CPU, over slices of a wider tensor too", "", float, Bf16) {
  using T = TestType;
  for (const std::size_t width : {1U, 64U, 75U, 700U}) {
    for (const std::size_t shift : {0U, 1U}) {
      constexpr std::size_t rows = 3;
      CAPTURE(width, shift, sizeof(T));
      const std::size_t stride = 2 * width;
      auto gate_and_up = Elements<T>::random(rows * stride, 4, shift);
      gate_and_up[0] = nearest<T>(-100);
      auto expected = Elements<T>::random(rows * stride, 4, shift);
      expected[0] = nearest<T>(-100);
      const auto half = [&](Elements<T>& all, std::size_t first) { return Rows<T>{all.data() + first, stride}; };
      const auto input = [&](Elements<T>& all, std::size_t first) { return Rows<const T>{all.data() + first, stride}; };
      swiglu(half(expected, 0), input(expected, 0), input(expected, width), rows, width);
      cuda::swiglu(half(gate_and_up, 0), input(gate_and_up, 0), input(gate_and_up, width), rows, width, no_stream);
      check_near(gate_and_up, expected);
    }
  }
}

TEMPLATE_TEST_CASE("a vocabulary's shard gives its rows, and zeros for the other ranks' ids", "", float, Bf16) {
  using T = TestType;
  for (const std::size_t width : {3U, 64U}) {
    constexpr std::size_t table_rows = 10, seq = 4, batch = 2;
    auto table = Elements<T>::random(table_rows * width, 5);
    std::vector<std::int64_t> ids{20, 29, 19, 30, 25, 0, 1000000, 24};
    Elements<T> out(seq * batch * 2 * width), expected(seq * batch * 2 * width);
    for (auto* all : {&out, &expected}) {
      for (std::size_t i = 0; i < all->size(); ++i) (*all)[i] = nearest<T>(7);
    }
    for (std::size_t token = 0; token < ids.size(); ++token) {
      const auto row = ids[token] - 20;
      for (std::size_t i = 0; i < width; ++i) {
        const bool here = row >= 0 && row < static_cast<std::int64_t>(table_rows);
        expected[token * 2 * width + i] = here ? table[static_cast<std::size_t>(row) * width + i] : T{};
      }
    }
    cuda::embedding(cuda::Lookup<T>{.table = table.data(),
                                    .rows = table_rows,
                                    .first = 20,
                                    .ids = ids.data(),
                                    .seq = seq,
                                    .batch = batch,
                                    .out = out.data(),
                                    .seq_stride = batch * 2 * width,
                                    .batch_stride = 2 * width,
                                    .width = width},
                    no_stream);
    check_equal(out, expected);
  }
}

TEST_CASE("bfloat16 is rounded to nearest even on a GPU too") {
  // 1 + 2^-8 lies between two bfloat16 and goes to the even one, below; the next fp32 goes up.
  for (const auto& [x, rounded] : std::vector<std::pair<float, float>>{
           {1 + 0x1p-8F, 1.0F}, {1 + 0x1p-8F + 0x1p-23F, 1 + 0x1p-7F}, {1 + 3 * 0x1p-8F, 1 + 0x1p-6F}}) {
    Elements<Bf16> out(1);
    cuda::fill(cuda::IntegerWeights<Bf16>{.out = out.data(),
                                          .stride = 1,
                                          .rows = 1,
                                          .columns = 1,
                                          .generator = 0,
                                          .first = 0,
                                          .row_stride = 1,
                                          .offset = x,
                                          .scale = 0},
               no_stream);
    CHECK(number(out[0]) == rounded);
  }
}

TEMPLATE_TEST_CASE("a block of a weight has the bits of SplitMix64 at its indices", "", float, Bf16) {
  // Its first numbers from the state 1234567, as published with the generator.
  const std::vector<std::uint64_t> numbers{6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                                           4593380528125082431U, 16408922859458223821U};
  const auto element = [&](std::size_t index) {
    return nearest<TestType>(0.5F * static_cast<float>(static_cast<std::int32_t>(numbers[index] >> 40) - (1 << 23)));
  };
  const auto fill = [](Elements<TestType>& out, std::size_t rows, std::size_t columns, std::size_t stride,
                       std::int64_t first, std::int64_t row_stride) {
    cuda::fill(cuda::IntegerWeights<TestType>{.out = out.data(),
                                              .stride = stride,
                                              .rows = rows,
                                              .columns = columns,
                                              .generator = 1234567,
                                              .first = first,
                                              .row_stride = row_stride,
                                              .offset = 0,
                                              .scale = 0.5F},
               no_stream);
  };
  Elements<TestType> all(5);
  fill(all, 1, 5, 5, 0, 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(bits_of(all[i]) == bits_of(element(i)));

  Elements<TestType> block(6);  // indices 1, 2 and 3, 4, and padding
  fill(block, 2, 2, 3, 1, 2);
  const auto zero = TestType{};
  const std::vector<TestType> expected{element(1), element(2), zero, element(3), element(4), zero};
  for (std::size_t i = 0; i < 6; ++i) CHECK(bits_of(block[i]) == bits_of(expected[i]));

  Elements<TestType> in_packs(40), one_by_one(40, 1);
  fill(in_packs, 5, 8, 8, 3, 8);
  fill(one_by_one, 5, 8, 8, 3, 8);
  check_equal(in_packs, one_by_one);
}
