// Sums, and the rounding of bfloat16 that every kernel ends with.
#include "elements.h"
#include "targets.h"

using namespace tpsp::kernels;

namespace {

template <typename T>
std::vector<T> plain_sum(const std::vector<Guarded<T>>& terms, std::size_t count) {
  std::vector<T> result(count, nearest<T>(0));
  for (std::size_t i = 0; i < count && !terms.empty(); ++i) {
    float total = number(terms[0].data()[i]);
    for (std::size_t t = 1; t < terms.size(); ++t) total += number(terms[t].data()[i]);
    result[i] = nearest<T>(total);
  }
  return result;
}

template <typename T>
std::vector<const T*> pointers(const std::vector<Guarded<T>>& terms) {
  std::vector<const T*> all;
  for (const auto& term : terms) all.push_back(term.data());
  return all;
}

}  // namespace

TEST_CASE("the path without SIMD and the best of this processor are among those tested") {
  const auto targets = all_targets();
  const auto best = instruction_set();
  REQUIRE(targets.size() >= 2);
  CHECK(hwy::TargetName(targets.front()) == best);
  CHECK((targets.back() == HWY_SCALAR || targets.back() == HWY_EMU128));
  on_every_target([] {});
  CHECK(instruction_set() == best);
}

TEMPLATE_TEST_CASE("sums have the bits of a plain loop on every instruction set", "", float, Bf16) {
  std::mt19937 random(1);
  for (const std::size_t many : {0U, 1U, 2U, 3U, 8U}) {
    for (const auto count : odd_sizes) {
      std::vector<Guarded<TestType>> terms;
      for (std::size_t t = 0; t < many; ++t) terms.emplace_back(random_numbers<TestType>(count, random));
      const auto expected = all_bits(plain_sum(terms, count));
      CAPTURE(many, count);
      on_every_target([&] {
        Guarded<TestType> out(count);
        sum(out.data(), pointers(terms), count);
        CHECK(all_bits(out.values()) == expected);
        CHECK(out.surroundings_untouched());
      });
    }
  }
}

TEMPLATE_TEST_CASE("a sum may be written over any of its terms", "", float, Bf16) {
  std::mt19937 random(2);
  for (const auto count : odd_sizes) {
    std::vector<Guarded<TestType>> terms;
    for (int t = 0; t < 3; ++t) terms.emplace_back(random_numbers<TestType>(count, random));
    const auto expected = all_bits(plain_sum(terms, count));
    on_every_target([&] {
      for (std::size_t over = 0; over < terms.size(); ++over) {
        CAPTURE(count, over);
        auto copies = terms;
        sum(copies[over].data(), pointers(copies), count);
        CHECK(all_bits(copies[over].values()) == expected);
        CHECK(copies[over].surroundings_untouched());
      }
    });
  }
}

TEMPLATE_TEST_CASE("a sum of no elements touches nothing", "", float, Bf16) {
  on_every_target([] {
    Guarded<TestType> out(0);
    const std::vector<const TestType*> terms(2, out.data());
    sum(out.data(), terms, 0);
    CHECK(out.surroundings_untouched());
  });
}

TEST_CASE("sums of bfloat16 that fall between two go to the even one, and past the largest to infinity") {
  struct Case {
    std::uint16_t a, b, sum;
  };
  const std::vector<Case> cases = {
      {0x3F80, 0x3B80, 0x3F80},                            // 1 + 2^-8: between 1 and 1 + 2^-7
      {0x3F81, 0x3B80, 0x3F82},                            // 1 + 2^-7 + 2^-8
      {0x3F80, 0x3B81, 0x3F81},                            // just above the middle
      {0xBF80, 0xBB80, 0xBF80},                            // the same below zero
      {0xBF81, 0xBB80, 0xBF82}, {0x7F7F, 0x7B00, 0x7F80},  // the largest and half a last place
      {0x7F7F, 0x7AFF, 0x7F7F},                            // and a little less than that
      {0x7F7F, 0x7F7F, 0x7F80}, {0xFF7F, 0xFF7F, 0xFF80},
      {0x0001, 0x0001, 0x0002},  // subnormals, of which none is lost
      {0x007F, 0x0001, 0x0080}, {0x0080, 0x8001, 0x007F},
      {0x7F80, 0x3F80, 0x7F80}, {0x7F80, 0xFF80, 0x7FC0},  // infinity - infinity
      {0x7FC1, 0x3F80, 0x7FC0}, {0xFF81, 0x3F80, 0x7FC0},
      {0x8000, 0x8000, 0x8000},  // -0
  };
  on_every_target([&] {
    for (const auto& [a, b, expected] : cases) {
      CAPTURE(a, b);
      const std::vector<Bf16> left(19, Bf16{a});
      const std::vector<Bf16> right(19, Bf16{b});
      std::vector<Bf16> out(19);
      sum(out.data(), std::vector{left.data(), right.data()}, out.size());
      CHECK(all_bits(out) == std::vector<std::uint32_t>(19, expected));
    }
  });
}

TEST_CASE("every bfloat16 and what lies around it is rounded to the nearest") {
  // rotate gives 1 * cos - 0 * sin, which is any fp32 rounded once.
  constexpr std::size_t half = 1U << 16U;
  const std::vector<float> sin(half, 0);
  std::vector<Bf16> in(2 * half, nearest<Bf16>(0));
  std::fill_n(in.begin(), half, nearest<Bf16>(1));
  for (const std::uint32_t low : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
    std::vector<float> cos;
    std::vector<std::uint32_t> expected;
    for (std::uint32_t high = 0; high < half; ++high) {
      cos.push_back(std::bit_cast<float>(high << 16U | low));
      expected.push_back(nearest<Bf16>(cos.back()).bits);
    }
    on_every_target([&] {
      std::vector<Bf16> out(2 * half);
      rotate({out.data(), 2 * half}, {in.data(), 2 * half}, cos.data(), sin.data(), 1, half);
      out.resize(half);
      CHECK((all_bits(out) == expected));  // in brackets: 65536 numbers are not for printing
    });
  }
}

TEST_CASE("sums of fp32 keep subnormals, infinities and NaN") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float least = std::numeric_limits<float>::denorm_min();
  on_every_target([&] {
    const std::vector<float> left = {least, infinity, infinity, std::nanf(""), std::numeric_limits<float>::max()};
    const std::vector<float> right = {least, 1, -infinity, 1, std::numeric_limits<float>::max()};
    std::vector<float> out(5);
    sum(out.data(), std::vector{left.data(), right.data()}, out.size());
    CHECK(out[0] == 2 * least);
    CHECK(out[1] == infinity);
    CHECK(std::isnan(out[2]));
    CHECK(std::isnan(out[3]));
    CHECK(out[4] == infinity);
  });
}
