#include "tpsp/bench/protocol.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "support/forward_on_ranks.h"

using namespace tpsp;

namespace {

/// A probe that reads nothing.
class NoProbe final : public DeviceProbe {
 public:
  void synchronize() override { ++synchronized; }
  void reset_peaks() override {}
  void release_unused() override {}
  std::int64_t allocated_bytes() const override { return allocated / 2; }
  std::int64_t peak_allocated_bytes() const override { return allocated; }
  std::int64_t process_bytes() const override { return 3 * allocated; }
  std::int64_t peak_reserved_bytes() const override { return 2 * allocated; }
  std::int64_t available_bytes(const World&) const override { return 0; }

  int synchronized = 0;
  std::int64_t allocated = 0;
};

std::vector<Measurement> measure_alone(const std::vector<Workload>& workloads, const Protocol& protocol,
                                       DeviceProbe& probe) {
  SerialWorld world;
  EventCounter counter(1);
  return measure(workloads, protocol, world, counter, probe);
}

void wait(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

}  // namespace

TEST_CASE("every workload has as many samples as repetitions") {
  NoProbe probe;
  const auto results = measure_alone({[] {}, [] {}}, {.warmup = 2, .reps = 7}, probe);
  REQUIRE(results.size() == 2);
  CHECK(results[0].samples_s.size() == 7);
  CHECK(results[1].samples_s.size() == 7);
}

namespace {

// The order in which two workloads run after their warm-up, of `warmup` repetitions at least.
std::string order_of_two(const Protocol& protocol) {
  std::string order;
  NoProbe probe;
  const auto results = measure_alone({[&] { order += 'a'; }, [&] { order += 'b'; }}, protocol, probe);
  return order.substr(static_cast<std::size_t>(results[0].warmup + results[1].warmup));
}

}  // namespace

TEST_CASE("in random order every round has every workload once, and not all rounds are alike") {
  const auto order = order_of_two({.warmup = 0, .reps = 40, .order = Order::random, .seed = 3});
  REQUIRE(order.size() == 80);
  int a_first = 0;
  for (std::size_t i = 0; i < order.size(); i += 2) {
    CHECK(order[i] != order[i + 1]);
    a_first += order[i] == 'a' ? 1 : 0;
  }
  CHECK(a_first > 8);
  CHECK(a_first < 32);
}

TEST_CASE("a seed gives one order, another seed another") {
  const auto order = [](std::uint64_t seed) {
    return order_of_two({.warmup = 0, .reps = 40, .order = Order::random, .seed = seed});
  };
  CHECK(order(1) == order(1));
  CHECK(order(1) != order(2));
}

TEST_CASE("in sequential order one workload follows the other, each with its own warm-up") {
  std::string order;
  NoProbe probe;
  measure_alone({[&] { order += 'a'; }, [&] { order += 'b'; }}, {.warmup = 0, .reps = 3, .order = Order::sequential},
                probe);
  CHECK(order == "aaabbb");
}

TEST_CASE("the warm-up is not timed") {
  int calls = 0;
  const auto slow_at_first = [&] {
    if (calls++ == 0) wait(200);
  };
  NoProbe probe;
  const auto result = measure_alone({slow_at_first}, {.warmup = 1, .reps = 3}, probe).front();
  CHECK(*std::max_element(result.samples_s.begin(), result.samples_s.end()) < 0.15);
}

TEST_CASE("the warm-up goes on while the time falls, and says how long it took") {
  int calls = 0;
  const auto settles = [&] { wait(std::max(40 - 10 * calls++, 10)); };
  NoProbe probe;
  const auto result = measure_alone({settles}, {.warmup = 1, .reps = 3}, probe).front();
  CHECK(result.warmup >= 4);  // 40, 30, 20, 10 ms, and one that is no faster
  CHECK(result.warmup <= 10);
  CHECK(*std::max_element(result.samples_s.begin(), result.samples_s.end()) < 0.02);
}

TEST_CASE("the warm-up has at least as many repetitions as it was asked for") {
  NoProbe probe;
  CHECK(measure_alone({[] { wait(1); }}, {.warmup = 7, .reps = 1}, probe).front().warmup >= 7);
}

TEST_CASE("repetitions end when the median is known well enough, and the result says so") {
  NoProbe probe;
  const Protocol protocol{.min_reps = 6, .min_time_s = 0, .max_noise = 0.9, .max_time_s = 60};
  const auto result = measure_alone({[] { wait(2); }}, protocol, probe).front();
  CHECK(result.stop == Stop::noise);
  CHECK(result.samples_s.size() == 6);
}

TEST_CASE("repetitions end when their time is used up, however noisy they are") {
  int calls = 0;
  const auto noisy = [&] { wait(calls++ % 2 == 0 ? 2 : 20); };
  NoProbe probe;
  const Protocol protocol{.warmup = 0, .min_reps = 2, .min_time_s = 0, .max_noise = 0.001, .max_time_s = 0.2};
  const auto result = measure_alone({noisy}, protocol, probe).front();
  CHECK(result.stop == Stop::time);
  CHECK(result.samples_s.size() < 30);
}

TEST_CASE("the least number and the least time of repetitions come before any other rule") {
  NoProbe probe;
  const Protocol many{.min_reps = 12, .min_time_s = 0, .max_noise = 1, .max_time_s = 0};
  CHECK(measure_alone({[] {}}, many, probe).front().samples_s.size() == 12);
  const Protocol lengthy{.min_reps = 1, .min_time_s = 0.1, .max_noise = 1, .max_time_s = 0};
  const auto samples = measure_alone({[] { wait(2); }}, lengthy, probe).front().samples_s;
  CHECK(std::accumulate(samples.begin(), samples.end(), 0.0) >= 0.1);
}

TEST_CASE("a fixed number of repetitions overrules the other rules") {
  NoProbe probe;
  const auto result = measure_alone({[] {}}, {.reps = 1, .min_reps = 6, .min_time_s = 5}, probe).front();
  CHECK(result.samples_s.size() == 1);
  CHECK(result.stop == Stop::reps);
}

TEST_CASE("a listener is called before each warm-up and round") {
  std::string calls;
  SerialWorld world;
  EventCounter counter(1);
  NoProbe probe;
  measure({[] { wait(1); }}, {.warmup = 0, .reps = 2}, world, counter, probe,
          [&](std::string_view phase, int done) { calls += std::string(phase) + " " + std::to_string(done) + ", "; });
  CHECK(calls == "timing 0, timing 1, ");
}

TEST_CASE("without a warm-up the first run is a sample") {
  int calls = 0;
  const auto slow_at_first = [&] {
    if (calls++ == 0) wait(50);
  };
  NoProbe probe;
  CHECK(measure_alone({slow_at_first}, {.warmup = 0, .reps = 2}, probe).front().samples_s[0] >= 0.05);
}

TEST_CASE("the device is waited for before and after each repetition") {
  NoProbe probe;
  measure_alone({[] {}}, {.warmup = 0, .reps = 3}, probe);
  CHECK(probe.synchronized == 6);
}

TEST_CASE("a sample is the slowest rank's, on every rank") {
  std::vector<std::vector<double>> samples(3);
  on_ranks(3, [&](World& world, ProcessGroup& transport) {
    EventCounter counter(transport.size());
    NoProbe probe;
    const auto run = [&] {
      if (world.rank() == 1) wait(60);
    };
    samples[static_cast<std::size_t>(world.rank())] =
        measure({run}, {.warmup = 0, .reps = 2}, world, counter, probe).front().samples_s;
  });
  CHECK(samples[0][0] >= 0.06);
  CHECK(samples[0] == samples[1]);
  CHECK(samples[0] == samples[2]);
}

TEST_CASE("every rank's own samples are kept, on every rank") {
  std::vector<Measurement> results(2);
  on_ranks(2, [&](World& world, ProcessGroup& transport) {
    EventCounter counter(transport.size());
    NoProbe probe;
    const auto run = [&] {
      if (world.rank() == 1) wait(30);
    };
    results[static_cast<std::size_t>(world.rank())] =
        measure({run}, {.warmup = 0, .reps = 3}, world, counter, probe).front();
  });
  CHECK(results[0].rank_samples_s == results[1].rank_samples_s);
  REQUIRE(results[0].rank_samples_s.size() == 2);
  CHECK(results[0].rank_samples_s[1] == results[0].samples_s);
  for (const auto sample : results[0].rank_samples_s[0]) CHECK(sample < 0.03);
}

TEST_CASE("memory is the largest rank's") {
  std::vector<Measurement> results(2);
  on_ranks(2, [&](World& world, ProcessGroup& transport) {
    EventCounter counter(transport.size());
    NoProbe probe;
    probe.allocated = 1000 * (2 - world.rank());
    results[static_cast<std::size_t>(world.rank())] =
        measure({[] {}}, {.warmup = 0, .reps = 2}, world, counter, probe).front();
  });
  for (const auto& result : results) {
    CHECK(result.allocated_bytes == 2000);
    CHECK(result.reserved_bytes == 4000);
    CHECK(result.allocated_after_bytes == 1000);
    CHECK(result.process_bytes == 6000);
  }
}

TEST_CASE("counts are of one repetition, whatever the warm-up") {
  EventCounter counter(2);
  SerialWorld world;
  NoProbe probe;
  const auto run = [&] {
    for (int i = 0; i < 2; ++i) counter.begin({.transition = Transition::all_reduce, .bytes = 40});
  };
  const auto result = measure({run}, {.warmup = 3, .reps = 4}, world, counter, probe).front();
  CHECK(result.counts == CommCounts{.all_reduces = 2, .bytes = 80});
}
