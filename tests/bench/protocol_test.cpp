#include "tpsp/bench/protocol.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
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
  std::int64_t peak_allocated_bytes() const override { return allocated; }
  std::int64_t peak_reserved_bytes() const override { return 2 * allocated; }
  std::int64_t available_bytes(const World&) const override { return 0; }

  int synchronized = 0;
  std::int64_t allocated = 0;
};

std::vector<Measurement> measure_alone(const std::vector<Workload>& workloads, const Protocol& protocol,
                                       DeviceProbe& probe) {
  SerialWorld world;
  DryCommunicator dry(0, 1);
  CountingCommunicator comm(dry);
  return measure(workloads, protocol, world, comm, probe);
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

TEST_CASE("workloads take turns, in the warm-up and after it") {
  std::string order;
  NoProbe probe;
  measure_alone({[&] { order += 'a'; }, [&] { order += 'b'; }}, {.warmup = 1, .reps = 3}, probe);
  CHECK(order == "abababab");
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
  measure_alone({[] {}}, {.warmup = 1, .reps = 3}, probe);
  CHECK(probe.synchronized == 6);
}

TEST_CASE("a sample is the slowest rank's, on every rank") {
  std::vector<std::vector<double>> samples(3);
  on_ranks(3, [&](World& world, Communicator& transport) {
    CountingCommunicator comm(transport);
    NoProbe probe;
    const auto run = [&] {
      if (world.rank() == 1) wait(60);
    };
    samples[static_cast<std::size_t>(world.rank())] =
        measure({run}, {.warmup = 0, .reps = 2}, world, comm, probe).front().samples_s;
  });
  CHECK(samples[0][0] >= 0.06);
  CHECK(samples[0] == samples[1]);
  CHECK(samples[0] == samples[2]);
}

TEST_CASE("memory is the largest rank's") {
  std::vector<Measurement> results(2);
  on_ranks(2, [&](World& world, Communicator& transport) {
    CountingCommunicator comm(transport);
    NoProbe probe;
    probe.allocated = 1000 * (2 - world.rank());
    results[static_cast<std::size_t>(world.rank())] =
        measure({[] {}}, {.warmup = 0, .reps = 2}, world, comm, probe).front();
  });
  for (const auto& result : results) {
    CHECK(result.allocated_bytes == 2000);
    CHECK(result.reserved_bytes == 4000);
  }
}

TEST_CASE("counts are of one repetition, whatever the warm-up") {
  DryCommunicator dry(0, 2);
  CountingCommunicator comm(dry);
  SerialWorld world;
  NoProbe probe;
  const auto buffer = at::zeros({10});
  const auto run = [&] {
    comm.all_reduce(buffer);
    comm.all_reduce(buffer);
  };
  const auto result = measure({run}, {.warmup = 3, .reps = 4}, world, comm, probe).front();
  CHECK(result.counts == CommCounts{.all_reduces = 2, .bytes = 80});
}

TEST_CASE("the median is the middle sample, or the mean of the two middle ones") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 3, 2}) == 2.5);
  CHECK(median({7}) == 7);
}

TEST_CASE("the median of no samples is an error") { CHECK_THROWS_AS(median({}), std::invalid_argument); }
