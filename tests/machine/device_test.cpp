#include "tpsp/machine/device.h"

#include <catch2/catch.hpp>

using namespace tpsp;

TEST_CASE("a device's kind is the same on ranks that have a GPU each") {
  CHECK(device_kind(c10::Device(c10::kCUDA, 0)) == "cuda");
  CHECK(device_kind(c10::Device(c10::kCUDA, 1)) == "cuda");
  CHECK(device_kind(c10::kCPU) == "cpu");
}
