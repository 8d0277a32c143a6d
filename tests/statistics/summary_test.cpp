#include "tpsp/statistics/summary.h"

#include <catch2/catch.hpp>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "statistics/samples.h"

using namespace tpsp;

namespace {

std::vector<double> one_to(std::size_t n) {
  std::vector<double> samples(n);
  std::iota(samples.begin(), samples.end(), 1.0);
  return samples;
}

// P(fewer than k of n tosses of a coin are heads), from Pascal's triangle.
double chance_of_fewer(std::size_t k, std::size_t n) {
  std::vector<double> row{1};
  for (std::size_t toss = 0; toss < n; ++toss) {
    std::vector<double> next(row.size() + 1);
    for (std::size_t heads = 0; heads < row.size(); ++heads) {
      next[heads] += row[heads] / 2;
      next[heads + 1] += row[heads] / 2;
    }
    row = next;
  }
  return std::accumulate(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(k), 0.0);
}

}  // namespace

TEST_CASE("a summary is what a hand computes") {
  const std::vector<double> samples{5, 1, 4, 2, 8, 3, 7, 6, 10, 9};
  const Summary summary = summarize(samples);
  CHECK(summary.median == 5.5);
  CHECK(summary.min == 1);
  CHECK(summary.p10 == Approx(1.9));
  CHECK(summary.p90 == Approx(9.1));
  CHECK(summary.p99 == Approx(9.91));
  CHECK(summary.max == 10);
  CHECK(summary.mad == 2.5);  // of 0.5 0.5 1.5 1.5 2.5 2.5 3.5 3.5 4.5 4.5
  CHECK(summary.cv == Approx(std::sqrt(82.5 / 9) / 5.5));
  REQUIRE(summary.interval);
  CHECK(summary.interval->low == 2);
  CHECK(summary.interval->high == 9);
}

TEST_CASE("the median is the middle sample or the mean of the two in the middle") {
  CHECK(median(std::vector<double>{3}) == 3);
  CHECK(median(std::vector<double>{3, 1}) == 2);
  CHECK(median(std::vector<double>{3, 1, 7}) == 3);
  CHECK(median(std::vector<double>{4, 1, 7, 2}) == 3);
}

TEST_CASE("the deviation from the median does not depend on where the median is") {
  CHECK(summarize(std::vector<double>{101, 102, 103, 104, 109}).mad == 1);
  CHECK(summarize(std::vector<double>{1, 2, 3, 4, 9}).mad == 1);
}

TEST_CASE("one sample is its own summary without noise and without an interval") {
  const Summary summary = summarize(std::vector<double>{2.5});
  CHECK(summary.median == 2.5);
  CHECK(summary.min == 2.5);
  CHECK(summary.p99 == 2.5);
  CHECK(summary.max == 2.5);
  CHECK(summary.mad == 0);
  CHECK(summary.cv == 0);
  CHECK_FALSE(summary.interval);
  CHECK_FALSE(relative_noise(summary));
}

TEST_CASE("equal samples have no noise") {
  const Summary summary = summarize(std::vector<double>(8, 0.1));
  CHECK(summary.median == 0.1);
  CHECK(summary.p10 == 0.1);
  CHECK(summary.p90 == 0.1);
  CHECK(summary.mad == 0);
  CHECK(summary.cv == 0);
  CHECK(relative_noise(summary) == 0.0);
}

TEST_CASE("samples of zero have no relative noise and no variation") {
  const Summary summary = summarize(std::vector<double>(8, 0.0));
  CHECK(summary.cv == 0);
  CHECK_FALSE(relative_noise(summary));
}

TEST_CASE("no samples and samples that are not finite are refused") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(summarize({}), std::invalid_argument);
  CHECK_THROWS_AS(median({}), std::invalid_argument);
  CHECK_THROWS_AS(summarize(std::vector<double>{1, nan}), std::invalid_argument);
  CHECK_THROWS_AS(median(std::vector<double>{infinity, 1}), std::invalid_argument);
  CHECK_THROWS_AS(median_interval(std::vector<double>{1, 2, 3, 4, 5, nan}), std::invalid_argument);
}

TEST_CASE("the interval of the median has the ranks of the printed tables") {
  // Conover, Practical Nonparametric Statistics: at least 95% for n = 6, 9, 10, 20, 50.
  const std::vector<std::pair<std::size_t, double>> tables{{6, 1}, {8, 1}, {9, 2}, {10, 2}, {20, 6}, {50, 18}};
  for (const auto& [n, low] : tables) {
    const auto interval = median_interval(one_to(n));
    REQUIRE(interval);
    CHECK(interval->low == low);
    CHECK(interval->high == static_cast<double>(n) + 1 - low);
  }
}

TEST_CASE("fewer than six samples give no interval") {
  for (std::size_t n = 0; n < 6; ++n) CHECK_FALSE(median_interval(one_to(n)));
}

TEST_CASE("the interval of the median is the narrowest of its kind that keeps the confidence") {
  for (std::size_t n = 6; n <= 300; ++n) {
    const auto interval = median_interval(one_to(n));
    REQUIRE(interval);
    const auto k = static_cast<std::size_t>(interval->low);
    INFO("n = " << n);
    CHECK(2 * chance_of_fewer(k, n) <= 0.05);
    CHECK(2 * chance_of_fewer(k + 1, n) > 0.05);
    CHECK(interval->high == static_cast<double>(n + 1 - k));
  }
}

TEST_CASE("the interval of the median holds the true one at least 95 times of 100") {
  Engine engine(1);
  for (const auto& distribution : distributions()) {
    for (const std::size_t n : {6, 7, 8, 12, 25, 60}) {
      const double covered = share_of(4000, [&] {
        const auto interval = median_interval(samples_of(distribution, n, engine));
        return interval->low <= distribution.median && distribution.median <= interval->high;
      });
      INFO(distribution.name << ", n = " << n);
      CHECK(covered >= 0.94);  // 0.95 less three standard errors of 4,000 trials
    }
  }
}

TEST_CASE("the noise is half the interval over the median") {
  const Summary summary = summarize(std::vector<double>{90, 95, 99, 101, 105, 110});
  CHECK(summary.median == 100);
  CHECK(*relative_noise(summary) == Approx(0.1));
}
