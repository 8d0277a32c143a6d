#include "tpsp/machine/gpu_state.h"

#include <catch2/catch.hpp>

#include "nvml.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

TEST_CASE("a GPU's state is read from the driver's library") {
  const auto gpu = Nvml::open("GPU-full", TPSP_FAKE_NVML);
  REQUIRE(gpu != nullptr);
  const auto state = gpu->state();
  CHECK(state.clock_mhz == 1410.0);
  CHECK(state.power_w == 275.5);
  CHECK(state.temperature_c == 61.0);
  CHECK(held_by_words(state.held_by) == "power-cap;thermal");
}

TEST_CASE("what a GPU does not report stays empty") {
  const auto gpu = Nvml::open("GPU-sparse", TPSP_FAKE_NVML);
  REQUIRE(gpu != nullptr);
  const auto state = gpu->state();
  CHECK(state.clock_mhz == 990.0);
  CHECK_FALSE(state.power_w);
  CHECK(state.held_by == 0);
}

TEST_CASE("without the library, or a GPU that it knows, there is nothing to read") {
  CHECK(Nvml::open("GPU-full", "libno-such-library.so.1") == nullptr);
  CHECK(Nvml::open("GPU-another", TPSP_FAKE_NVML) == nullptr);
}

TEST_CASE("a GPU's states are put together") {
  const auto summary = summarize({{.clock_mhz = 1980, .power_w = 300, .temperature_c = 50},
                                  {.clock_mhz = 1500, .power_w = 500, .temperature_c = 70, .held_by = 0x4},
                                  {.clock_mhz = 1900, .held_by = 0x20}});
  CHECK(summary.clock_mhz == 1900.0);
  CHECK(summary.lowest_clock_mhz == 1500.0);
  CHECK(summary.highest_clock_mhz == 1980.0);
  CHECK(summary.power_w == 400.0);
  CHECK(summary.temperature_c == 70.0);
  CHECK(summary.held_by == 0x24);
}

TEST_CASE("of several ranks' GPUs, the slowest clock, the one that changed most, and the hottest count") {
  const std::vector<GpuSummary> gpus{
      {.clock_mhz = 1900, .lowest_clock_mhz = 1800, .highest_clock_mhz = 1980, .power_w = 300, .held_by = 0x4},
      {},  // a driver that reports nothing
      {.clock_mhz = 1700,
       .lowest_clock_mhz = 1690,
       .highest_clock_mhz = 1710,
       .power_w = 350,
       .temperature_c = 80,
       .held_by = 0x40}};
  std::vector<GpuSummary> seen(gpus.size());
  run_threads(3, [&](World& world) {
    const auto rank = static_cast<std::size_t>(world.rank());
    seen[rank] = summarize_ranks(gpus[rank], world);
  });
  for (const auto& all : seen) {
    CHECK(all.clock_mhz == 1700.0);
    CHECK(all.lowest_clock_mhz == 1800.0);
    CHECK(all.highest_clock_mhz == 1980.0);
    CHECK(all.power_w == 350.0);
    CHECK(all.temperature_c == 80.0);
    CHECK(all.held_by == 0x44);
  }
}

TEST_CASE("nothing is known of ranks without a GPU") {
  SerialWorld world;
  const auto all = summarize_ranks(summarize({}), world);
  CHECK_FALSE(all.clock_mhz);
  CHECK_FALSE(all.power_w);
  CHECK(held_by_words(all.held_by).empty());
}

TEST_CASE("the power limit holds a clock down without a fault, heat does not") {
  CHECK_FALSE(is_fault(0x1 | 0x2 | 0x4 | 0x10 | 0x100));
  for (const std::uint64_t bit : {0x8, 0x20, 0x40, 0x80}) CHECK(is_fault(bit));
  CHECK(held_by_words(0x1 | 0x2 | 0x100).empty());
}
