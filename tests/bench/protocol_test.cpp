#include "tpsp/bench/protocol.h"

#include <algorithm>

#include "support/forward_on_ranks.h"

using namespace tpsp;

namespace {

/// A probe that reads nothing.
class NoProbe final : public DeviceProbe {
 public:
  void synchronize() override {
    ++synchronized;
    if (on_synchronize) on_synchronize();
  }
  double warmup_s() const override { return seconds_of_warmup; }
  void reset_peaks() override {}
  void release_unused() override {}
  std::int64_t allocated_bytes() const override { return allocated / 2; }
  std::int64_t peak_allocated_bytes() const override { return allocated; }
  std::int64_t process_bytes() const override { return 3 * allocated; }
  std::int64_t peak_reserved_bytes() const override { return 2 * allocated; }
  std::int64_t available_bytes(World&) const override { return 0; }
  std::optional<GpuState> gpu_state() const override { return gpu; }

  int synchronized = 0;
  double seconds_of_warmup = 0;
  std::function<void()> on_synchronize{};
  std::int64_t allocated = 0;
  std::optional<GpuState> gpu{};
};

// A rank's time, which passes when its workload says so: a multiple of 1/1024 s, so that sums are exact.
class FakeTime {
 public:
  static constexpr double tick_s = 1.0 / 1024;

  void pass(int ticks) { now_s_ += ticks * tick_s; }
  Clock clock() const {
    return [this] { return now_s_; };
  }

 private:
  double now_s_ = 0;
};

std::vector<Measurement> measure_alone(const std::vector<Workload>& workloads, const Protocol& protocol,
                                       DeviceProbe& probe, const FakeTime& time = {}) {
  SerialWorld world;
  EventCounter counter(1);
  return measure(workloads, protocol, world, counter, probe, {}, time.clock());
}

// The same of one workload, which takes `ticks(n)` in its n-th call.
Measurement measure_ticks(const std::function<int(int)>& ticks, const Protocol& protocol) {
  FakeTime time;
  int calls = 0;
  NoProbe probe;
  return measure_alone({[&] { time.pass(ticks(calls++)); }}, protocol, probe, time).front();
}

std::vector<double> seconds_of(std::initializer_list<int> ticks) {
  std::vector<double> seconds;
  for (const int some : ticks) seconds.push_back(some * FakeTime::tick_s);
  return seconds;
}

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

TEST_CASE("a device whose clocks have to rise is warmed up for as long as it takes") {
  FakeTime time;
  NoProbe probe;
  probe.seconds_of_warmup = 40 * FakeTime::tick_s;
  const auto warmup_of = [&](int ticks, int at_least) {
    return measure_alone({[&] { time.pass(ticks); }}, {.warmup = at_least, .reps = 1}, probe, time).front().warmup;
  };
  CHECK(warmup_of(2, 1) == 20);
  CHECK(warmup_of(100, 1) == 2);
  CHECK(warmup_of(2, 30) == 30);
  CHECK(warmup_of(2, 0) == 0);
}

TEST_CASE("the warm-up is not timed") {
  const auto result = measure_ticks([](int call) { return call == 0 ? 200 : 3; }, {.warmup = 1, .reps = 3});
  CHECK(result.samples_s == seconds_of({3, 3, 3}));
}

TEST_CASE("the warm-up goes on while the time falls, and says how long it took") {
  const auto result = measure_ticks([](int call) { return std::max(40 - 10 * call, 10); }, {.warmup = 1, .reps = 3});
  CHECK(result.warmup == 5);  // 40, 30, 20, 10, and one that is no faster
  CHECK(result.samples_s == seconds_of({10, 10, 10}));
  CHECK(result.forwards_s == (40 + 30 + 20 + 10 + 10 + 3 * 10) * FakeTime::tick_s);
}

TEST_CASE("a warm-up whose time falls for ever ends after ten repetitions") {
  CHECK(measure_ticks([](int call) { return 1 << (20 - call); }, {.warmup = 1, .reps = 1}).warmup == 10);
}

TEST_CASE("a time that falls by less than two percent has settled") {
  CHECK(measure_ticks([](int call) { return 1000 - 19 * call; }, {.warmup = 1, .reps = 1}).warmup == 2);
  CHECK(measure_ticks([](int call) { return call < 3 ? 1000 - 21 * call : 958; }, {.warmup = 1, .reps = 1}).warmup ==
        4);
}

TEST_CASE("the warm-up has at least as many repetitions as it was asked for") {
  CHECK(measure_ticks([](int) { return 1; }, {.warmup = 7, .reps = 1}).warmup == 7);
}

TEST_CASE("repetitions end when the median is known well enough, and the result says so") {
  const Protocol protocol{.min_reps = 6, .min_time_s = 0, .max_noise = 0.01, .max_time_s = 60};
  const auto steady = measure_ticks([](int) { return 2; }, protocol);
  CHECK(steady.stop == Stop::noise);
  CHECK(steady.samples_s.size() == 6);
  const auto noisy_at_first = measure_ticks([](int call) { return call < 6 ? 2 + 10 * (call % 2) : 2; }, protocol);
  CHECK(noisy_at_first.stop == Stop::noise);
  CHECK(noisy_at_first.samples_s.size() > 6);
}

TEST_CASE("repetitions end when their time is used up, however noisy they are") {
  const Protocol protocol{.warmup = 0, .min_reps = 2, .min_time_s = 0, .max_noise = 0.001, .max_time_s = 0.2};
  const auto result = measure_ticks([](int call) { return call % 2 == 0 ? 2 : 20; }, protocol);
  CHECK(result.stop == Stop::time);
  CHECK(result.samples_s.size() == 20);  // of 2 and 20 ticks: the first whose sum reaches 0.2 s, which are 204.8
}

TEST_CASE("the least number and the least time of repetitions come before any other rule") {
  const Protocol many{.min_reps = 12, .min_time_s = 0, .max_noise = 1, .max_time_s = 0};
  CHECK(measure_ticks([](int) { return 0; }, many).samples_s.size() == 12);
  const Protocol lengthy{.min_reps = 1, .min_time_s = 100 * FakeTime::tick_s, .max_noise = 1, .max_time_s = 0};
  CHECK(measure_ticks([](int) { return 2; }, lengthy).samples_s.size() == 50);
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
  measure({[] {}}, {.warmup = 0, .reps = 2}, world, counter, probe,
          [&](std::string_view phase, int done) { calls += std::string(phase) + " " + std::to_string(done) + ", "; });
  CHECK(calls == "timing 0, timing 1, ");
}

TEST_CASE("without a warm-up the first run is a sample") {
  const auto result = measure_ticks([](int call) { return call == 0 ? 50 : 2; }, {.warmup = 0, .reps = 2});
  CHECK(result.samples_s == seconds_of({50, 2}));
}

TEST_CASE("the device is waited for before and after each repetition") {
  NoProbe probe;
  measure_alone({[] {}}, {.warmup = 0, .reps = 3}, probe);
  CHECK(probe.synchronized == 6);
}

TEST_CASE("a sample has the device's work to its end, and none from before") {
  NoProbe probe;
  FakeTime time;
  probe.on_synchronize = [&] { time.pass(probe.synchronized % 2 == 1 ? 100 : 7); };
  const auto result = measure_alone({[&] { time.pass(5); }}, {.warmup = 0, .reps = 3}, probe, time).front();
  CHECK(result.samples_s == seconds_of({12, 12, 12}));
}

namespace {

// Of ranks that take 3 ticks, but for rank 1, which takes 60.
std::vector<Measurement> measure_a_slow_rank(int ranks, const Protocol& protocol) {
  std::vector<Measurement> results(static_cast<std::size_t>(ranks));
  on_ranks(ranks, [&](World& world, ProcessGroup& transport) {
    EventCounter counter(transport.size());
    NoProbe probe;
    FakeTime time;
    const auto run = [&] { time.pass(world.rank() == 1 ? 60 : 3); };
    results[static_cast<std::size_t>(world.rank())] =
        measure({run}, protocol, world, counter, probe, {}, time.clock()).front();
  });
  return results;
}

}  // namespace

TEST_CASE("a sample is the slowest rank's, on every rank") {
  for (const auto& result : measure_a_slow_rank(3, {.warmup = 0, .reps = 2})) {
    CHECK(result.samples_s == seconds_of({60, 60}));
  }
}

TEST_CASE("every rank's own samples are kept, on every rank") {
  for (const auto& result : measure_a_slow_rank(2, {.warmup = 0, .reps = 3})) {
    CHECK(result.rank_samples_s == std::vector{seconds_of({3, 3, 3}), seconds_of({60, 60, 60})});
  }
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

TEST_CASE("each workload has the clock of its own repetitions, not of its warm-up") {
  NoProbe probe;
  int calls = 0;
  const auto at = [&](double megahertz) {
    return [&probe, &calls, megahertz] { probe.gpu = GpuState{.clock_mhz = megahertz + ++calls}; };
  };
  const auto results = measure_alone({at(1000), at(2000)}, {.warmup = 4, .reps = 1, .order = Order::sequential}, probe);
  const int first_call = results[0].warmup + 1;
  CHECK(results[0].gpu.clock_mhz == 1000.0 + first_call);
  CHECK(results[1].gpu.clock_mhz == 2000.0 + first_call + results[1].warmup + 1);
}

TEST_CASE("without a GPU nothing is known of its clock") {
  NoProbe probe;
  CHECK_FALSE(measure_alone({[] {}}, {.reps = 2}, probe).front().gpu.clock_mhz);
}
