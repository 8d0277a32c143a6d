#include <algorithm>
#include <catch2/catch.hpp>

#include "statistics/samples.h"
#include "tpsp/statistics/summary.h"

using namespace tpsp;

namespace {

using Anomalies = std::vector<Anomaly>;

bool has(const Anomalies& found, Anomaly anomaly) { return std::count(found.begin(), found.end(), anomaly) == 1; }

// `n` samples of 1 with 1% noise.
std::vector<double> quiet(std::size_t n, Engine& engine) { return samples_of(normal(0.01), n, engine); }

}  // namespace

TEST_CASE("quiet samples have no anomalies") {
  CHECK(anomalies(std::vector<double>{1.00, 1.01, 0.99, 1.00, 1.02, 0.98, 1.01}).empty());
  CHECK(anomalies(std::vector<double>(20, 1.0)).empty());
}

TEST_CASE("fewer than six samples have no anomalies") {
  CHECK(anomalies({}).empty());
  CHECK(anomalies(std::vector<double>{9, 1, 1, 1, 1}).empty());
}

TEST_CASE("a first sample far above the others is found") {
  CHECK(anomalies(std::vector<double>{1.5, 1.01, 0.99, 1.00, 1.02, 0.98}) == Anomalies{Anomaly::first_slow});
  CHECK(anomalies(std::vector<double>{1.2, 1, 1, 1, 1, 1, 1}) == Anomalies{Anomaly::first_slow});
}

TEST_CASE("a first sample less than 10% above the others is not slow") {
  CHECK(anomalies(std::vector<double>{1.09, 1, 1, 1, 1, 1, 1}).empty());
}

TEST_CASE("a slow sample that is not the first, and a fast first one, are no warm-up") {
  CHECK(anomalies(std::vector<double>{1.01, 1.5, 0.99, 1.00, 1.02, 0.98}).empty());
  CHECK(anomalies(std::vector<double>{0.5, 1.01, 0.99, 1.00, 1.02, 0.98}).empty());
}

TEST_CASE("a first sample no further out than the others spread is not slow") {
  CHECK(anomalies(std::vector<double>{2.0, 1.0, 1.6, 1.2, 1.8, 1.4}).empty());
}

TEST_CASE("two separate groups are found whatever the order") {
  CHECK(anomalies(std::vector<double>{1.0, 1.2, 1.01, 1.21, 0.99, 1.2, 1.0, 1.19}) == Anomalies{Anomaly::bimodal});
  CHECK(anomalies(std::vector<double>{1, 1.1, 1, 1, 1.1, 1}) == Anomalies{Anomaly::bimodal});
}

TEST_CASE("one sample apart is no group, nor is one in ten of many") {
  CHECK(anomalies(std::vector<double>{1.0, 1.01, 0.99, 1.3, 1.0, 1.01, 0.99, 1.0}).empty());
  std::vector<double> samples(30, 1.0);
  samples[7] = samples[13] = samples[22] = 1.3;
  CHECK(anomalies(samples).empty());
}

TEST_CASE("groups less than 5% apart are one") {
  CHECK(anomalies(std::vector<double>{1, 1.04, 1, 1.04, 1.04, 1, 1, 1.04}).empty());
}

TEST_CASE("a steady rise and a steady fall are found") {
  CHECK(anomalies(std::vector<double>{1.00, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07}) == Anomalies{Anomaly::drifting});
  CHECK(anomalies(std::vector<double>{1.07, 1.06, 1.05, 1.04, 1.03, 1.02, 1.01, 1.00}) == Anomalies{Anomaly::drifting});
}

TEST_CASE("a trend of less than 2% is no drift") {
  CHECK(anomalies(std::vector<double>{1.000, 1.002, 1.004, 1.006, 1.008, 1.010, 1.012, 1.014}).empty());
}

TEST_CASE("a drift over very many samples is found") {
  Engine engine(5);
  auto samples = quiet(20'000, engine);
  CHECK(anomalies(samples).empty());
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] *= 1 + 2e-6 * static_cast<double>(i);
  CHECK(anomalies(samples) == Anomalies{Anomaly::drifting});
}

TEST_CASE("the anomalies come in the order of the enumeration") {
  const std::vector<double> samples{9, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2};  // the 9 would hide the other two
  CHECK(anomalies(samples) == Anomalies{Anomaly::first_slow, Anomaly::bimodal, Anomaly::drifting});
}

TEST_CASE("plain noise shows each anomaly in less than 2 lists of 100") {
  Engine engine(6);
  for (const auto& noise : {normal(0.01), normal(0.1), lognormal(0.1), lognormal(0.3)}) {
    for (const std::size_t n : {6, 7, 8, 10, 14, 20, 35, 50}) {
      for (const Anomaly anomaly : {Anomaly::first_slow, Anomaly::bimodal, Anomaly::drifting}) {
        const double wrong = share_of(2500, [&] { return has(anomalies(samples_of(noise, n, engine)), anomaly); });
        INFO(to_string(anomaly) << ", " << noise.name << ", n = " << n);
        CHECK(wrong < 0.02);
      }
    }
  }
}

TEST_CASE("two modes that are 15% apart are found in most lists of 20 with 1% noise") {
  Engine engine(7);
  const Distribution noise{"two modes", two_modes(0.4, 1.15)};
  CHECK(share_of(1000, [&] { return has(anomalies(samples_of(noise, 20, engine)), Anomaly::bimodal); }) > 0.95);
}

TEST_CASE("a drift of 5% is found in most lists of 20 with 1% noise") {
  Engine engine(8);
  const double found = share_of(1000, [&] {
    auto samples = quiet(20, engine);
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i] *= 1 + 0.05 * static_cast<double>(i) / 19;
    return has(anomalies(samples), Anomaly::drifting);
  });
  CHECK(found > 0.95);
}

TEST_CASE("every anomaly has its word") {
  CHECK(to_string(Anomaly::first_slow) == "first-slow");
  CHECK(to_string(Anomaly::bimodal) == "bimodal");
  CHECK(to_string(Anomaly::drifting) == "drifting");
}
