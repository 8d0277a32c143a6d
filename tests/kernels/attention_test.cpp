// The kernels between the two GEMMs of attention: against double precision, on every instruction set.
#include <numeric>

#include "elements.h"
#include "targets.h"

using namespace tpsp::kernels;

namespace {

std::vector<float> scores_up_to(float most, std::size_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> number(-most, most);
  std::vector<float> all(count);
  for (auto& x : all) x = number(random);
  return all;
}

struct Expected {
  std::vector<double> exponentials;  // of a row
  double largest_exponent = 0;       // the size of the most negative one
  double sum = 0;
};

Expected expected_row(const float* scores, std::size_t visible, float scale) {
  const double largest = *std::max_element(scores, scores + visible);
  Expected row;
  for (std::size_t i = 0; i < visible; ++i) {
    const double x = scale * (scores[i] - largest);
    row.exponentials.push_back(std::exp(x));
    row.largest_exponent = std::max(row.largest_exponent, -x);
    row.sum += row.exponentials.back();
  }
  return row;
}

}  // namespace

TEMPLATE_TEST_CASE("causal exponentials are as near as they say for what a row sees and 0 beyond", "", float, Bf16) {
  std::mt19937 random(7);
  constexpr std::size_t rows = 5;
  for (const auto width : odd_sizes) {
    for (const std::size_t visible : {std::size_t{1}, width / 2 + 1, width}) {
      for (const float most : {1.0F, 50.0F, 1000.0F}) {
        const Guarded<float> scores(scores_up_to(most, rows * width, random));
        CAPTURE(width, visible, most);
        on_every_target([&] {
          Guarded<TestType> out(rows * width);
          Guarded<float> sums(rows);
          constexpr float scale = 0.7F;
          causal_exponentials({.scores = scores.data(),
                               .exponentials = out.data(),
                               .sums = sums.data(),
                               .rows = rows,
                               .width = width,
                               .visible = visible,
                               .scale = scale});
          for (std::size_t row = 0; row < rows; ++row) {
            const auto seen = std::min(visible + row, width);
            int wrong = 0;
            const auto expected = expected_row(scores.data() + row * width, seen, scale);
            for (std::size_t i = 0; i < width; ++i) {
              const double got = number(out[row * width + i]);
              if (i >= seen) {
                CHECK(got == 0);
                continue;
              }
              const double want = expected.exponentials[i];
              const double size = std::max(want, 0x1p-126);
              const double tolerance = 0x1p-22 * (1 - std::log(size)) + (sizeof(TestType) == 2 ? 0x1p-8 : 0);
              if (!(std::abs(got - want) <= size * tolerance + (want < 0x1p-126 ? 0x1p-126 : 0))) ++wrong;
            }
            CHECK(wrong == 0);
            CHECK(std::abs(sums[row] - expected.sum) <=
                  expected.sum * (0x1p-22 * (1 + expected.largest_exponent) + 0x1p-24 * static_cast<double>(seen)));
          }
          CHECK(out.surroundings_untouched());
          CHECK(sums.surroundings_untouched());
        });
      }
    }
  }
}

TEST_CASE("causal exponentials may be written over the scores") {
  std::mt19937 random(8);
  constexpr std::size_t rows = 3;
  for (const auto width : odd_sizes) {
    const Guarded<float> scores(scores_up_to(10, rows * width, random));
    on_every_target([&] {
      std::vector<float> sums(rows);
      const auto run = [&](const float* from, float* to) {
        causal_exponentials({.scores = from,
                             .exponentials = to,
                             .sums = sums.data(),
                             .rows = rows,
                             .width = width,
                             .visible = width / 3 + 1,
                             .scale = 1});
      };
      auto apart = scores;
      run(scores.data(), apart.data());
      auto in_place = scores;
      run(in_place.data(), in_place.data());
      CHECK(all_bits(in_place.values()) == all_bits(apart.values()));
    });
  }
}

TEMPLATE_TEST_CASE("a NaN among the scores that a row sees leaves it without a finite sum", "", float, Bf16) {
  constexpr std::size_t width = 40;
  std::vector<float> scores(2 * width, 1.0F);
  scores[20] = std::nanf("");  // the first row does not see it
  scores[width + 20] = std::nanf("");
  on_every_target([&] {
    std::vector<TestType> out(2 * width);
    std::vector<float> sums(2);
    causal_exponentials({.scores = scores.data(),
                         .exponentials = out.data(),
                         .sums = sums.data(),
                         .rows = 2,
                         .width = width,
                         .visible = 20,
                         .scale = 1});
    CHECK(sums[0] == 20);
    CHECK(number(out[20]) == 0);
    CHECK_FALSE(std::isfinite(sums[1]));
    CHECK_FALSE(std::isfinite(number(out[width + 20])));
  });
}

TEMPLATE_TEST_CASE("divide_rows divides every row by its number and leaves what lies between rows", "", float, Bf16) {
  std::mt19937 random(9);
  constexpr std::size_t rows = 3;
  const std::vector<float> divisors{2, 3, 1e-3F};
  for (const auto width : odd_sizes) {
    const Guarded<float> in(random_numbers<float>(rows * width, random));
    const auto stride = width + 7;
    CAPTURE(width);
    on_every_target([&] {
      const Guarded<TestType> before(random_numbers<TestType>(rows * stride, random));
      auto out = before;
      divide_rows({out.data(), stride}, in.data(), divisors.data(), rows, width);
      for (std::size_t i = 0; i < out.size(); ++i) {
        const auto row = i / stride;
        const auto column = i % stride;
        const auto want =
            column < width ? nearest<TestType>(in.data()[row * width + column] / divisors[row]) : before.data()[i];
        CHECK(bits_of(out[i]) == bits_of(want));
      }
      CHECK(out.surroundings_untouched());
    });
  }
}
