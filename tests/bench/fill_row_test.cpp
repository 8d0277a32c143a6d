#include "fill_row.h"

#include "support/torch_and_catch.h"
#include "tpsp/comm/world.h"

using namespace tpsp;

namespace {

Row row_measured_on(const GpuSummary& gpu) {
  Row row;
  fill_measurement(row, {.samples_s = {1, 1, 1}, .rank_samples_s = {{1, 1, 1}}, .gpu = gpu}, {"host"});
  return row;
}

std::string flags_of(const Row& row) {
  std::string flags;
  for (const auto& warning : row.warnings) flags += warning.flag + " ";
  return flags;
}

}  // namespace

TEST_CASE("a GPU that kept its clock gives no warnings, at its power limit neither") {
  const auto row = row_measured_on({.clock_mhz = 1400,
                                    .lowest_clock_mhz = 1380,
                                    .highest_clock_mhz = 1410,
                                    .power_w = 699.5,
                                    .temperature_c = 66,
                                    .held_by = 0x4});
  CHECK(row.gpu_clock_mhz == 1400.0);
  CHECK(row.gpu_power_w == 699.5);
  CHECK(row.gpu_temperature_c == 66.0);
  CHECK(row.gpu_held_by == "power-cap");
  CHECK(flags_of(row).empty());
}

TEST_CASE("a GPU whose clock changed is flagged, with what held it") {
  const auto row =
      row_measured_on({.clock_mhz = 1900, .lowest_clock_mhz = 1700, .highest_clock_mhz = 1980, .held_by = 0x4});
  REQUIRE(flags_of(row) == "gpu-clock ");
  CHECK_THAT(row.warnings.front().text, Catch::Contains("between 1700 and 1980 MHz (power-cap)"));
}

TEST_CASE("a GPU that slowed itself down is flagged") {
  const auto row = row_measured_on({.held_by = 0x44});
  REQUIRE(flags_of(row) == "gpu-throttled ");
  CHECK_THAT(row.warnings.front().text, Catch::Contains("power-cap;thermal-hardware"));
}

TEST_CASE("a row measured without a GPU says nothing of one") {
  const auto row = row_measured_on({});
  CHECK_FALSE(row.gpu_clock_mhz);
  CHECK_FALSE(row.gpu_power_w);
  CHECK(row.gpu_held_by.empty());
  CHECK(flags_of(row).empty());
}

TEST_CASE("a rank that is busy for longer than the others is named") {
  const std::vector<std::string> hosts{"a", "a", "b", "b"};
  const auto warnings = [&](const std::vector<double>& busy_s) {
    Row row;
    SerialWorld world;
    fill_profile(row, {.busy_s = busy_s}, hosts, world);
    return row.warnings;
  };
  const auto slow = warnings({1.0, 1.1, 1.3, 1.0});
  REQUIRE(slow.size() == 1);
  CHECK(slow.front().flag == "slow-rank");
  CHECK_THAT(slow.front().text, Catch::StartsWith("rank 2 on b was busy for 1.30 times as long as the others"));
  CHECK(warnings({1.0, 1.1, 1.15, 1.0}).empty());
  CHECK(warnings({1.0, 1.19}).empty());
  CHECK(warnings({1.0, 1.21}).size() == 1);
  CHECK(warnings({0.001, 0.0028}).empty());  // what a scheduler takes
  CHECK(warnings({1.0}).empty());
}

TEST_CASE("memory read apart takes the place of the repetitions' peaks") {
  Row row;
  row.allocated_bytes = 5000;
  fill_device_memory(row, {.allocated = 1300, .reserved = 1308, .workspace = 8, .context = 70});
  CHECK(row.allocated_bytes == 1300);
  CHECK(row.reserved_bytes == 1308);
  CHECK(row.workspace_bytes == 8);
  CHECK(row.context_bytes == 70);
}
