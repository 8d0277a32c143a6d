// Timing: workloads interleaved, warm-up apart, until the median is known well enough.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/bench/clock.h"
#include "tpsp/comm/world.h"
#include "tpsp/machine/device.h"
#include "tpsp/parallel/events.h"

namespace tpsp {

enum class Order {
  random,      ///< interleaved, every round in another order
  sequential,  ///< one after the other
};

std::string_view to_string(Order order);

struct Protocol {
  /// Untimed repetitions, at least; unless 0, they go on until the time has stopped falling by more than 2%, for at
  /// most ten.
  int warmup = 1;
  std::optional<int> reps{};  ///< exactly so many timed repetitions, instead of the rule of the next four

  int min_reps = 9;         ///< as many always; nine have an interval that no single outlier moves
  double min_time_s = 0.5;  ///< each timed for so long always
  double max_noise = 0.01;  ///< then on until half of every median's interval is at most this part of it,
  double max_time_s =
      60;  ///< or the timed repetitions of all workloads have taken this long, together when interleaved

  Order order = Order::random;
  std::uint64_t seed = 0;  ///< of the random order
};

/// Everything that is asked for but the seed: "warmup 1, min-reps 9, ..., order random".
std::string to_string(const Protocol& protocol);

/// What is measured: one piece of work, done by all ranks, that lets go of what it made. Where a rank can not finish
/// it, it may throw Interrupted on all of them.
using Workload = std::function<void()>;

/// A workload was interrupted: thrown on all ranks at the same time.
class AgreedInterruption : public AgreedError {
 public:
  AgreedInterruption() : AgreedError(ExitCode::rows_not_ok, std::string("a rank could not finish its work")) {}
};

/// What ended the repetitions.
enum class Stop { noise, time, reps };
std::string_view to_string(Stop stop);

struct Measurement {
  int warmup = 0;                                   ///< repetitions before the first timed one
  std::vector<double> samples_s;                    ///< one a repetition: its slowest rank
  std::vector<std::vector<double>> rank_samples_s;  ///< `[rank][repetition]`
  Stop stop = Stop::reps;
  double forwards_s = 0;                   ///< of this rank, warm-up included
  std::int64_t allocated_bytes = 0;        ///< peak over the repetitions and ranks
  std::int64_t allocated_after_bytes = 0;  ///< after the last repetition, largest rank
  std::int64_t reserved_bytes = 0;         ///< peak over the repetitions and ranks
  std::int64_t process_bytes = 0;          ///< after the last repetition, largest rank
  CommCounts counts{};                     ///< of one repetition, on this rank
  std::string attention{};                 ///< kernels of attention, as EventCounter says
  GpuSummary gpu{};                        ///< after each of the timed repetitions, over the ranks
};

/// Called with what `measure` is about to do: "warm-up" or "timing", how many repetitions are done.
using ProtocolListener = std::function<void(std::string_view phase, int done)>;

/// Seconds that `work` takes on this rank behind a barrier, up to the device's last kernel.
double timed_s(const Workload& work, World& world, DeviceProbe& probe, const Clock& clock = steady_clock_s);

/// Warms the workloads up and times them, each repetition behind a barrier and up to the device's last kernel. With
/// Order::sequential each has its own stopping rule and budget; interleaved they stop together, after complete rounds.
/// `counter` gets the events of all of them. Collective; all ranks get the same result but for the counts. `clock` is
/// this rank's own; only differences count. Throws AgreedInterruption.
std::vector<Measurement> measure(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                 EventCounter& counter, DeviceProbe& probe, const ProtocolListener& listener = {},
                                 const Clock& clock = steady_clock_s);

}  // namespace tpsp
