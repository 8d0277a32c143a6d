#include "tpsp/bench/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <span>

#include "tpsp/statistics/summary.h"

namespace tpsp {
namespace {

/// Interleaved workloads, with what is known of each so far.
class InterleavedRuns {
 public:
  InterleavedRuns(std::span<const Workload> workloads, const Protocol& protocol, World& world, EventCounter& counter,
                  DeviceProbe& probe, const ProtocolListener& listener, const Clock& clock)
      : workloads_(workloads),
        protocol_(protocol),
        world_(world),
        counter_(counter),
        probe_(probe),
        listener_(listener),
        clock_(clock),
        results_(workloads.size()),
        gpu_states_(workloads.size()),
        turns_(workloads.size()),
        random_(protocol.seed) {
    std::iota(turns_.begin(), turns_.end(), std::size_t{0});
    for (auto& result : results_) result.rank_samples_s.resize(static_cast<std::size_t>(world.size()));
  }

  std::vector<Measurement> run() {
    for (std::size_t i = 0; i < workloads_.size(); ++i) warm_up(i);
    for (int done = 0; !finished(done); ++done) {
      report_step("timing", done);
      std::shuffle(turns_.begin(), turns_.end(), random_);  // the same on all ranks: same seed, same library
      for (const auto turn : turns_) take_sample(turn);
    }
    for (std::size_t i = 0; i < results_.size(); ++i) {
      combine_memory(results_[i]);
      results_[i].gpu = summarize_ranks(summarize(gpu_states_[i]), world_);
    }
    return std::move(results_);
  }

 private:
  void report_step(std::string_view phase, int done) const {
    if (listener_) listener_(phase, done);
  }

  // NaN where the work was interrupted.
  double seconds_of(std::size_t which) {
    try {
      return timed_s(workloads_[which], world_, probe_, clock_);
    } catch (const Interrupted&) {
      return std::numeric_limits<double>::quiet_NaN();
    }
  }

  static void require_finished(double seconds) {
    if (std::isnan(seconds)) throw AgreedInterruption();
  }

  void warm_up(std::size_t which) {
    constexpr int most = 10;
    constexpr double still_falling = 0.98;
    auto& warmup = results_[which].warmup;
    double last_s = 0;
    double spent_s = 0;
    for (bool settled = protocol_.warmup == 0; !settled; ++warmup) {
      report_step("warm-up", warmup);
      const double mine_s = seconds_of(which);
      const double slowest_s = max_over_ranks(world_, {mine_s}).front();
      require_finished(slowest_s);
      results_[which].forwards_s += mine_s;
      spent_s += slowest_s;
      const bool stopped_falling = warmup > 0 && slowest_s > still_falling * last_s;
      const bool enough = warmup + 1 >= protocol_.warmup && spent_s >= probe_.warmup_s();
      settled = enough && (stopped_falling || warmup + 1 >= most);
      last_s = slowest_s;
    }
  }

  void take_sample(std::size_t which) {
    auto& result = results_[which];
    counter_.reset();
    probe_.reset_peaks();
    const double mine_s = seconds_of(which);
    if (const auto state = probe_.gpu_state()) gpu_states_[which].push_back(*state);
    result.counts = counter_.counts();
    result.attention = counter_.attention();
    result.allocated_bytes = std::max(result.allocated_bytes, probe_.peak_allocated_bytes());
    result.reserved_bytes = std::max(result.reserved_bytes, probe_.peak_reserved_bytes());
    result.allocated_after_bytes = probe_.allocated_bytes();
    result.process_bytes = probe_.process_bytes();
    const auto all = exchange_numbers(world_, {mine_s});
    double slowest_s = 0;
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      require_finished(all[rank].front());
      result.rank_samples_s[rank].push_back(all[rank].front());
      slowest_s = std::max(slowest_s, all[rank].front());
    }
    result.samples_s.push_back(slowest_s);
    result.forwards_s += mine_s;
    timed_s_ += slowest_s;
  }

  // Decided from what all ranks know alike.
  bool finished(int done) {
    if (protocol_.reps) return done >= *protocol_.reps;
    if (done < std::max(protocol_.min_reps, 1) ||
        timed_s_ < protocol_.min_time_s * static_cast<double>(workloads_.size()))
      return false;
    if (done < next_look_ && timed_s_ < protocol_.max_time_s) return false;
    next_look_ = done + 1 + done / 20;  // a look sorts all samples
    const bool known = std::all_of(results_.begin(), results_.end(), [&](const Measurement& result) {
      const auto noise = relative_noise(summarize(result.samples_s));
      return noise && *noise <= protocol_.max_noise;
    });
    if (!known && timed_s_ < protocol_.max_time_s) return false;
    for (auto& result : results_) result.stop = known ? Stop::noise : Stop::time;
    return true;
  }

  // The largest rank's memory.
  void combine_memory(Measurement& mine) {
    std::vector<double> bytes;
    const auto fields = {&mine.allocated_bytes, &mine.allocated_after_bytes, &mine.reserved_bytes, &mine.process_bytes};
    for (const auto* field : fields) bytes.push_back(static_cast<double>(*field));
    bytes = max_over_ranks(world_, bytes);
    auto largest = bytes.begin();
    for (auto* field : fields) *field = static_cast<std::int64_t>(*largest++);
  }

  std::span<const Workload> workloads_;
  const Protocol& protocol_;
  World& world_;
  EventCounter& counter_;
  DeviceProbe& probe_;
  const ProtocolListener& listener_;
  const Clock& clock_;
  std::vector<Measurement> results_;
  std::vector<std::vector<GpuState>> gpu_states_;  ///< `[workload][repetition]`, of this rank
  std::vector<std::size_t> turns_;
  std::mt19937_64 random_;
  double timed_s_ = 0;
  int next_look_ = 0;  ///< rounds at which the medians are looked at again
};

}  // namespace

std::string_view to_string(Order order) { return order == Order::random ? "random" : "sequential"; }

std::string to_string(const Protocol& protocol) {
  const auto rule = protocol.reps
                        ? fmt::format("reps {}", *protocol.reps)
                        : fmt::format("min-reps {}, min-time {}, max-noise {}, max-time {}", protocol.min_reps,
                                      protocol.min_time_s, protocol.max_noise, protocol.max_time_s);
  return fmt::format("warmup {}, {}, order {}", protocol.warmup, rule, to_string(protocol.order));
}

std::string_view to_string(Stop stop) {
  switch (stop) {
    case Stop::noise: return "noise";
    case Stop::time: return "time";
    case Stop::reps: return "reps";
  }
  return "unknown";
}

double timed_s(const Workload& work, World& world, DeviceProbe& probe, const Clock& clock) {
  probe.synchronize();
  world.barrier();
  const double begin_s = clock();
  work();
  probe.synchronize();
  return clock() - begin_s;
}

std::vector<Measurement> measure(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                 EventCounter& counter, DeviceProbe& probe, const ProtocolListener& listener,
                                 const Clock& clock) {
  const std::span all(workloads);
  const auto together = protocol.order == Order::random ? all.size() : std::size_t{1};
  std::vector<Measurement> results;
  for (std::size_t first = 0; first < all.size(); first += together) {
    auto some = InterleavedRuns(all.subspan(first, together), protocol, world, counter, probe, listener, clock).run();
    std::move(some.begin(), some.end(), std::back_inserter(results));
  }
  return results;
}

}  // namespace tpsp
