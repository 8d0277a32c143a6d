#include "tpsp/bench/profile.h"

#include <chrono>
#include <thread>
#include <utility>

#include "support/forward_on_ranks.h"

using namespace tpsp;

namespace {

void wait(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

double seconds_in(const ForwardProfile& profile, Phase phase) {
  double total = 0;
  for (const auto& interval : profile.intervals) {
    if (interval.phase == phase) total += interval.end_s - interval.begin_s;
  }
  return total;
}

// Of two ranks of which the second comes late to a collective, whose data then takes its time.
std::vector<ForwardProfile> late_rank() {
  std::vector<ForwardProfile> profiles(2);
  on_ranks(2, [&](World& world, ProcessGroup&) {
    const auto probe = make_device_probe(at::kCPU);
    const auto forward = [&](Timeline& timeline) {
      TimelineSink events(timeline, world);
      {
        const EventScope gemm(&events, {.phase = Phase::gemm, .module = "wo", .flops = 1});
        wait(world.rank() == 1 ? 60 : 5);
      }
      const EventScope collective(
          &events, {.phase = Phase::move, .module = "wo", .transition = Transition::all_reduce, .bytes = 8});
      wait(20);
    };
    profiles[static_cast<std::size_t>(world.rank())] = profile(forward, "output", world, *probe);
  });
  return profiles;
}

}  // namespace

TEST_CASE("a rank that comes early to a collective waits, and then moves data") {
  const auto profiles = late_rank();
  CHECK(seconds_in(profiles[0], Phase::wait) > 0.04);
  CHECK(seconds_in(profiles[1], Phase::wait) < 0.04);
  for (const auto& one : profiles) {
    CHECK(seconds_in(one, Phase::move) >= 0.02);
    CHECK(one.intervals.back().label == "repetition");
  }
  CHECK(seconds_in(profiles[1], Phase::gemm) >= 0.06);
  CHECK(seconds_in(profiles[0], Phase::gemm) < 0.05);
}

TEST_CASE("a profile says how long each rank was in no collective") {
  for (const auto& one : late_rank()) {
    REQUIRE(one.busy_s.size() == 2);
    CHECK(one.busy_s[0] < 0.05);
    CHECK(one.busy_s[1] >= 0.06);
  }
}

namespace {

/// A device that works by itself, a second for each mark, and whose ranges are noted.
class SteadyDevice final : public DeviceProbe {
 public:
  bool is_asynchronous() const override { return true; }
  void mark() override { seconds_.push_back(static_cast<double>(seconds_.size())); }
  std::vector<double> take_marks() override { return std::exchange(seconds_, {}); }
  void open_range(const std::string& name) override { ranges += name + "("; }
  void close_range() noexcept override { ranges += ")"; }
  void synchronize() override {}
  void reset_peaks() override {}
  void release_unused() override {}
  std::int64_t allocated_bytes() const override { return 0; }
  std::int64_t peak_allocated_bytes() const override { return 0; }
  std::int64_t peak_reserved_bytes() const override { return 0; }
  std::int64_t process_bytes() const override { return 0; }
  std::int64_t available_bytes(World&) const override { return 0; }

  std::string ranges{};

 private:
  std::vector<double> seconds_;
};

}  // namespace

TEST_CASE("the phases of a device that works by itself are between its marks, without a barrier") {
  SteadyDevice device;
  SerialWorld world;
  const auto one = profile(
      [](Timeline& timeline) {
        SerialWorld ranks;
        TimelineSink events(timeline, ranks);
        const EventScope gemm(&events, {.phase = Phase::gemm, .module = "wo"});
        const EventScope sum(&events, {.phase = Phase::move, .module = "wo", .transition = Transition::all_reduce});
      },
      "output", world, device);
  CHECK(one.total_s == 5);
  CHECK(one.phases_s[static_cast<std::size_t>(Phase::gemm)] == 2);
  CHECK(one.phases_s[static_cast<std::size_t>(Phase::move)] == 1);
  CHECK(one.phases_s[static_cast<std::size_t>(Phase::wait)] == 0);
  CHECK(device.ranges == "wo(all-reduce wo())");
}

TEST_CASE("the phases of a forward add up to its time, slices included, and name their module") {
  const auto probe = make_device_probe(at::kCPU);
  SerialWorld world;
  const auto one = profile(
      [&](Timeline& timeline) {
        TimelineSink events(timeline, world);
        const EventScope norm(&events, {.phase = Phase::norm, .module = "norm"});
        const EventScope slice(&events, {.phase = Phase::move, .module = "w1", .transition = Transition::slice});
        const EventScope gather(&events, {.phase = Phase::move, .module = "w1", .transition = Transition::all_gather});
      },
      "output", world, *probe);
  double total = 0;
  for (const auto seconds : one.phases_s) total += seconds;
  CHECK(total == Approx(one.total_s));
  std::vector<std::string> labels;
  for (const auto& interval : one.intervals)
    labels.push_back(std::string(to_string(interval.phase)) + " " + interval.label);
  CHECK(labels == std::vector<std::string>{"other repetition", "norm norm", "norm norm", "wait all-gather w1",
                                           "move all-gather w1", "norm norm", "norm norm", "other repetition"});
}
