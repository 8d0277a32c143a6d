#include "device_memory.h"

#include <algorithm>
#include <array>
#include <utility>

#include "support/torch_and_catch.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

namespace {

/// A device with a caching allocator: what is freed stays reserved.
class CachingProbe final : public DeviceProbe {
 public:
  void allocate(std::int64_t bytes) {
    live_ += bytes;
    peak_ = std::max(peak_, live_);
    reserved_ = std::max(reserved_, live_);
    peak_reserved_ = std::max(peak_reserved_, reserved_);
  }
  void free(std::int64_t bytes) { live_ -= bytes; }
  void need_workspace(std::int64_t bytes) {
    if (workspace_ == 0) allocate(workspace_ = bytes);
  }

  void synchronize() override {}
  bool is_asynchronous() const override { return true; }
  void reset_peaks() override {
    peak_ = live_;
    peak_reserved_ = reserved_;
  }
  void release_unused() override { reserved_ = live_; }
  std::int64_t release_workspaces() override {
    free(workspace_);
    return std::exchange(workspace_, 0);
  }
  std::int64_t allocated_bytes() const override { return live_; }
  std::int64_t peak_allocated_bytes() const override { return peak_; }
  std::int64_t peak_reserved_bytes() const override { return peak_reserved_; }
  std::int64_t process_bytes() const override { return reserved_ + 70; }
  std::optional<std::int64_t> context_bytes() const override { return process_bytes() - reserved_; }
  std::int64_t available_bytes(World&) const override { return 0; }

 private:
  std::int64_t live_ = 0;
  std::int64_t peak_ = 0;
  std::int64_t reserved_ = 0;
  std::int64_t peak_reserved_ = 0;
  std::int64_t workspace_ = 0;
};

// A forward on weights that are alive.
Workload forward_of(CachingProbe& probe, std::int64_t activations) {
  return [&probe, activations] {
    probe.need_workspace(8);
    probe.allocate(activations);
    probe.free(activations);
  };
}

}  // namespace

TEST_CASE("a plan's memory on a caching allocator is its own, and workspaces are apart") {
  CachingProbe probe;
  probe.allocate(1000);
  forward_of(probe, 500)();  // another plan's, before
  SerialWorld world;
  const auto memory = device_memory_of(forward_of(probe, 300), probe, world);
  CHECK(memory.allocated == 1300);
  CHECK(memory.reserved == 1308);
  CHECK(memory.workspace == 8);
  CHECK(memory.context == 70);
  CHECK(probe.allocated_bytes() == 1000);
}

TEST_CASE("a plan's memory is the largest rank's") {
  std::array<DeviceMemory, 2> memory;
  run_threads(2, [&](World& world) {
    CachingProbe probe;
    probe.allocate(1000);
    const auto rank = static_cast<std::size_t>(world.rank());
    memory[rank] = device_memory_of(forward_of(probe, rank == 1 ? 400 : 200), probe, world);
  });
  for (const auto& one : memory) {
    CHECK(one.allocated == 1400);
    CHECK(one.reserved == 1408);
  }
}
