#include "tpsp/statistics/ratio.h"

#include <catch2/catch.hpp>
#include <cmath>
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

TEST_CASE("the ratio of pairs is that of the medians and its interval that of the pairwise ratios") {
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
  // All pairwise ratios but one are 2 or 1/2, so their median's interval is [1/2, 2]; the medians' ratio is 5.
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

TEST_CASE("an interval within the margin is the same, one outside it is a difference, any other is undecided") {
  const Median baseline{.value = 1, .interval = Interval{.low = 1, .high = 1}};
  const auto verdict = [&](double low, double high, double margin) {
    return ratio_of_medians({.value = low, .interval = Interval{.low = low, .high = high}}, baseline, margin).verdict;
  };
  CHECK(verdict(1.04, 1.08, 0) == Verdict::slower);
  CHECK(verdict(1.04, 1.08, 0.03) == Verdict::slower);
  CHECK(verdict(1.04, 1.08, 0.05) == Verdict::undecided);
  CHECK(verdict(1.018, 1.095, 0.02) == Verdict::undecided);
  CHECK(verdict(0.95, 1.05, 0.02) == Verdict::undecided);
  CHECK(verdict(0.985, 1.015, 0.02) == Verdict::same);
  CHECK(verdict(1.005, 1.019, 0.02) == Verdict::same);
  CHECK(verdict(0.92, 0.96, 0.03) == Verdict::faster);
  CHECK(verdict(0.92, 0.96, 0.05) == Verdict::undecided);
}

namespace {

std::vector<double> exponentials(std::vector<double> values) {
  for (double& value : values) value = std::exp(value);
  return values;
}

}  // namespace

TEST_CASE("the interval of runs is Welch's on the logarithms") {
  // By hand: means 4 and 2, variances 2.5 and 1, 5 and 3 runs. The standard error is sqrt(1/2 + 1/3), the degrees of
  // freedom are (5/6)^2 / (1/16 + 1/18) = 5.8824, and t(0.975, 5.8824) is 2.4588.
  const Ratio ratio = ratio_of_runs(exponentials({2, 3, 4, 5, 6}), exponentials({1, 2, 3}), 0);
  const double reach = 2.4588 * std::sqrt(5.0 / 6);
  CHECK(std::log(ratio.value) == Approx(2));
  REQUIRE(ratio.interval);
  CHECK(std::log(ratio.interval->low) == Approx(2 - reach).epsilon(1e-4));
  CHECK(std::log(ratio.interval->high) == Approx(2 + reach).epsilon(1e-4));
}

TEST_CASE("one run is set against several as one more of them") {
  // Variance 1 of three runs, standard error sqrt(1 + 1/3), t(0.975, 2) = 4.3027.
  const double reach = 4.3027 * std::sqrt(4.0 / 3);
  const Ratio later = ratio_of_runs(exponentials({4}), exponentials({1, 2, 3}), 0);
  CHECK(std::log(later.value) == Approx(2));
  CHECK(std::log(later.interval->low) == Approx(2 - reach).epsilon(1e-4));
  const Ratio earlier = ratio_of_runs(exponentials({1, 2, 3}), exponentials({4}), 0);
  CHECK(std::log(earlier.interval->high) == Approx(-2 + reach).epsilon(1e-4));
}

TEST_CASE(
    "runs differ where their interval excludes 1 and the ratio is not small, and are the same within the margin") {
  const std::vector<double> baseline{0.999, 1, 1.001};
  const auto verdict = [&](double factor, double margin) {
    return ratio_of_runs(std::vector<double>{0.999 * factor, factor, 1.001 * factor}, baseline, margin).verdict;
  };
  CHECK(verdict(1, 0.02) == Verdict::same);
  CHECK(verdict(1.014, 0.02) == Verdict::same);  // 1.011 to 1.017
  CHECK(verdict(1.014, 0.015) == Verdict::slower);
  CHECK(verdict(1.016, 0.02) == Verdict::slower);
  CHECK(verdict(1 / 1.016, 0.02) == Verdict::faster);
  CHECK(verdict(1.005, 0) == Verdict::slower);
  CHECK(verdict(1, 0) == Verdict::undecided);
  CHECK(ratio_of_runs(std::vector<double>{1.01, 1.03, 1.02}, std::vector<double>{1, 1.01, 1}, 0.022).verdict ==
        Verdict::undecided);  // 1.0166, from 0.994
  CHECK(ratio_of_runs(std::vector<double>{1.2, 1.2}, std::vector<double>{1, 1}, 0.02).verdict == Verdict::slower);
}

TEST_CASE("fewer than three runs, and runs that are no times, decide nothing") {
  const std::vector<double> one{1};
  const std::vector<double> two{1, 2};
  CHECK_FALSE(ratio_of_runs(one, one, 0).interval);
  CHECK_FALSE(ratio_of_runs(two, {}, 0).interval);
  CHECK(ratio_of_runs(std::vector<double>{2}, one, 0).value == Approx(2));
  for (const double odd : {0.0, -1.0, std::numeric_limits<double>::infinity()}) {
    CHECK_FALSE(ratio_of_runs(std::vector<double>{1, odd}, two, 0).interval);
    CHECK_FALSE(ratio_of_runs(two, std::vector<double>{1, odd}, 0).interval);
  }
}

TEST_CASE("of five runs each, few of equal programs differ, and most of those slowed by 3% are slower") {
  Engine engine(5);
  constexpr double margin = 0.02;
  for (const double spread : {0.005, 0.0075, 0.01}) {
    const auto verdict = [&](double factor) {
      const auto times = samples_of(normal(spread), 5, engine, factor);
      return ratio_of_runs(times, samples_of(normal(spread), 5, engine), margin).verdict;
    };
    INFO("spread " << spread);
    CHECK(share_of(4000, [&] { return verdict(1) == Verdict::faster || verdict(1) == Verdict::slower; }) <= 0.015);
    CHECK(share_of(4000, [&] { return verdict(1.03) == Verdict::slower; }) >= 0.97);
    CHECK(share_of(4000, [&] { return verdict(1.027) == Verdict::slower; }) >= 0.9);
  }
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
