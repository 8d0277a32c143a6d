#include "tpsp/statistics/ratio.h"

#include <catch2/catch.hpp>
#include <limits>
#include <stdexcept>

#include "statistics/samples.h"

using namespace tpsp;

namespace {

Median median_of(const std::vector<double>& samples) {
  return {.value = median(samples), .interval = median_interval(samples)};
}

bool holds(const Ratio& ratio, double value) {
  return ratio.interval && ratio.interval->low <= value && value <= ratio.interval->high;
}

bool is_difference(const Ratio& ratio) { return ratio.verdict == Verdict::faster || ratio.verdict == Verdict::slower; }

using Comparison = std::function<Ratio(const std::vector<double>&, const std::vector<double>&)>;

const std::vector<std::pair<std::string, Comparison>> comparisons{
    {"pairs", [](const auto& times, const auto& baseline) { return ratio_of_pairs(times, baseline); }},
    {"medians",
     [](const auto& times, const auto& baseline) { return ratio_of_medians(median_of(times), median_of(baseline)); }}};

}  // namespace

TEST_CASE("the ratio of pairs is that of the medians and its interval that of the rounds' ratios") {
  const std::vector<double> baseline{10, 20, 30, 40, 50, 60};
  const std::vector<double> times{11, 24, 33, 48, 55, 66};  // 1.1 1.2 1.1 1.2 1.1 1.1 times as long
  const Ratio ratio = ratio_of_pairs(times, baseline);
  CHECK(ratio.value == Approx(40.5 / 35));
  REQUIRE(ratio.interval);
  CHECK(ratio.interval->low == Approx(1.1));
  CHECK(ratio.interval->high == Approx(1.2));
  CHECK(ratio.verdict == Verdict::slower);
  CHECK(ratio_of_pairs(baseline, times).verdict == Verdict::faster);
}

TEST_CASE("what slows both of a pair down cancels") {
  const std::vector<double> baseline{1, 5, 2, 8, 3, 13, 1};
  std::vector<double> times;
  for (const double sample : baseline) times.push_back(0.99 * sample);
  const Ratio ratio = ratio_of_pairs(times, baseline);
  CHECK(ratio.verdict == Verdict::faster);
  CHECK(ratio.interval->high - ratio.interval->low < 1e-12);
}

TEST_CASE("the interval of pairs is widened to hold the ratio of the medians") {
  // All rounds' ratios but one are 2 or 1/2, so their median's interval is [1/2, 2]; the medians' ratio is 5.
  const std::vector<double> baseline{1, 1, 1, 1, 20, 20, 20, 20, 2};
  const std::vector<double> times{2, 2, 2, 2, 10, 10, 10, 10, 10};
  const Ratio ratio = ratio_of_pairs(times, baseline);
  CHECK(ratio.value == 5);
  CHECK(ratio.interval->low == 0.5);
  CHECK(ratio.interval->high == 5);
  CHECK(ratio.verdict == Verdict::undecided);
}

TEST_CASE("equal samples are the same") {
  const std::vector<double> samples(6, 0.25);
  for (const auto& [name, compare] : comparisons) {
    const Ratio ratio = compare(samples, samples);
    INFO(name);
    CHECK(ratio.value == 1);
    CHECK(holds(ratio, 1));
    CHECK(ratio.verdict == Verdict::same);
  }
}

TEST_CASE("fewer than six samples decide nothing") {
  for (const auto& [name, compare] : comparisons) {
    INFO(name);
    const Ratio one = compare({3}, {2});
    CHECK(one.value == 1.5);
    CHECK_FALSE(one.interval);
    CHECK(one.verdict == Verdict::undecided);
    CHECK(compare({3, 3, 3, 3, 3}, {2, 2, 2, 2, 2}).verdict == Verdict::undecided);
  }
}

TEST_CASE("samples that do not pair or are no times are refused") {
  const std::vector<double> two{1, 2};
  CHECK_THROWS_AS(ratio_of_pairs({}, {}), std::invalid_argument);
  CHECK_THROWS_AS(ratio_of_pairs(two, std::vector<double>{1}), std::invalid_argument);
  CHECK_THROWS_AS(ratio_of_pairs(two, std::vector<double>{1, 0}), std::invalid_argument);
  CHECK_THROWS_AS(ratio_of_pairs(std::vector<double>{-1, 2}, two), std::invalid_argument);
  CHECK_THROWS_AS(ratio_of_pairs(std::vector<double>{1, std::numeric_limits<double>::infinity()}, two),
                  std::invalid_argument);
}

TEST_CASE("the intervals of medians are squared and added on a logarithmic scale") {
  // From the medians, the intervals reach 2^3 and 2^4 times as far, so that together they reach 2^5.
  const Median time{.value = 64, .interval = Interval{.low = 8, .high = 1024}};
  const Median baseline{.value = 16, .interval = Interval{.low = 2, .high = 256}};
  const Ratio ratio = ratio_of_medians(time, baseline);
  CHECK(ratio.value == 4);
  CHECK(ratio.interval->low == Approx(4.0 / 32));   // 3 below the time, 4 above the baseline
  CHECK(ratio.interval->high == Approx(4.0 * 32));  // 4 above the time, 3 below the baseline
  CHECK(ratio.verdict == Verdict::undecided);
}

TEST_CASE("exact medians have an exact ratio") {
  const Median time{.value = 3, .interval = Interval{.low = 3, .high = 3}};
  const Median baseline{.value = 2, .interval = Interval{.low = 2, .high = 2}};
  const Ratio ratio = ratio_of_medians(time, baseline);
  CHECK(ratio.interval->low == Approx(1.5));
  CHECK(ratio.interval->high == Approx(1.5));
  CHECK(ratio.verdict == Verdict::slower);
}

TEST_CASE("an interval that holds 1 and reaches further than 10% says nothing") {
  const Median baseline{.value = 1, .interval = Interval{.low = 1, .high = 1}};
  const auto verdict = [&](double low, double high) {
    return ratio_of_medians({.value = 1, .interval = Interval{.low = low, .high = high}}, baseline).verdict;
  };
  CHECK(verdict(0.95, 1.05) == Verdict::same);
  CHECK(verdict(0.95, 1.11) == Verdict::undecided);
  CHECK(verdict(0.9, 1.05) == Verdict::undecided);
}

TEST_CASE("a difference that may be within the margin is none") {
  const Median baseline{.value = 1, .interval = Interval{.low = 1, .high = 1}};
  const Median time{.value = 1.06, .interval = Interval{.low = 1.04, .high = 1.08}};
  CHECK(ratio_of_medians(time, baseline, 0).verdict == Verdict::slower);
  CHECK(ratio_of_medians(time, baseline, 0.03).verdict == Verdict::slower);
  CHECK(ratio_of_medians(time, baseline, 0.05).verdict == Verdict::same);
  CHECK(ratio_of_medians(baseline, time, 0.03).verdict == Verdict::faster);
  CHECK(ratio_of_medians(baseline, time, 0.05).verdict == Verdict::same);
}

TEST_CASE("a median without an interval or with numbers that are no times decides nothing") {
  const Median good{.value = 1, .interval = Interval{.low = 0.9, .high = 1.1}};
  const Median bare{.value = 2, .interval = {}};
  const Median zero{.value = 1, .interval = Interval{.low = 0, .high = 2}};
  const Median negative{.value = -1, .interval = Interval{.low = 0.5, .high = 2}};
  for (const auto& odd : {bare, zero, negative}) {
    CHECK(ratio_of_medians(good, odd).verdict == Verdict::undecided);
    CHECK(ratio_of_medians(odd, good).verdict == Verdict::undecided);
    CHECK_FALSE(ratio_of_medians(odd, good).interval);
  }
  CHECK(ratio_of_medians(bare, good).value == 2);
}

TEST_CASE("the interval of a ratio holds the true one at least 95 times of 100") {
  Engine engine(2);
  constexpr double truth = 1.3;
  for (const auto& distribution : distributions()) {
    for (const std::size_t n : {6, 8, 15, 40}) {
      for (const auto& [name, compare] : comparisons) {
        const double covered = share_of(3000, [&, &compare_them = compare] {
          const auto times = samples_of(distribution, n, engine, truth);
          const Ratio ratio = compare_them(times, samples_of(distribution, n, engine));
          return holds(ratio, truth) && holds(ratio, ratio.value);
        });
        INFO(name << ", " << distribution.name << ", n = " << n);
        CHECK(covered >= 0.94);  // 0.95 less three standard errors of 3,000 trials
      }
    }
  }
}

TEST_CASE("equal plans are called different at most 5 times of 100") {
  Engine engine(3);
  for (const auto& distribution : distributions()) {
    for (const std::size_t n : {6, 9, 20}) {
      for (const auto& [name, compare] : comparisons) {
        const double wrong = share_of(3000, [&, &compare_them = compare] {
          const auto times = samples_of(distribution, n, engine);
          return is_difference(compare_them(times, samples_of(distribution, n, engine)));
        });
        INFO(name << ", " << distribution.name << ", n = " << n);
        CHECK(wrong <= 0.06);  // 0.05 and three standard errors
      }
    }
  }
}

TEST_CASE("eight samples with 1% noise show a difference of 5%") {
  Engine engine(4);
  for (const auto& [name, compare] : comparisons) {
    const double found = share_of(2000, [&, &compare_them = compare] {
      const auto times = samples_of(normal(0.01), 8, engine, 1.05);
      return compare_them(times, samples_of(normal(0.01), 8, engine)).verdict == Verdict::slower;
    });
    INFO(name);
    CHECK(found > 0.95);
  }
}

TEST_CASE("every verdict has its word") {
  CHECK(to_string(Verdict::faster) == "faster");
  CHECK(to_string(Verdict::same) == "same");
  CHECK(to_string(Verdict::slower) == "slower");
  CHECK(to_string(Verdict::undecided) == "undecided");
}
