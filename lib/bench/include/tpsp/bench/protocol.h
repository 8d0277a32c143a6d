// Timing: contestants in turn, warm-up apart, until the median is known well enough.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "tpsp/bench/device.h"
#include "tpsp/comm/counting.h"
#include "tpsp/comm/world.h"

namespace tpsp {

enum class Order {
  random,      ///< in turns, every round in another order
  sequential,  ///< one after the other
};

struct Protocol {
  /// Untimed repetitions, at least; unless 0, they go on until the time has stopped falling by more than 2%, for at
  /// most ten.
  int warmup = 1;
  std::optional<int> reps{};  ///< exactly so many timed repetitions, instead of the rule of the next four

  int min_reps = 9;         ///< as many always; nine have an interval that no single outlier moves
  double min_time_s = 0.5;  ///< each timed for so long always
  double max_noise = 0.01;  ///< then on until half of every median's interval is at most this part of it,
  double max_time_s = 60;  ///< or the timed repetitions of all contestants have taken this long, together when in turns

  Order order = Order::random;
  std::uint64_t seed = 0;  ///< of the random order
};

/// What is measured: one whole piece of work, done by all ranks, that lets go of what it made.
using Workload = std::function<void()>;

/// A workload, and the communicator whose calls are counted as its own.
struct Contestant {
  Workload work;
  CountingCommunicator& comm;
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
  CommCounts counts;                       ///< of one repetition, on this rank
};

/// Told what `measure` does before it does it: "warm-up" or "timing", how many repetitions are done.
using ProtocolListener = std::function<void(std::string_view phase, int done)>;

/// Warms the contestants up and times them, each repetition behind a barrier and up to the device's last kernel. With
/// Order::sequential each has its own stopping rule and budget; in turns they stop together, after whole rounds.
/// Collective; all ranks get the same result but for the counts.
std::vector<Measurement> measure(const std::vector<Contestant>& contestants, const Protocol& protocol, World& world,
                                 DeviceProbe& probe, const ProtocolListener& listener = {});
/// The same of workloads that share one communicator.
std::vector<Measurement> measure(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                 CountingCommunicator& comm, DeviceProbe& probe, const ProtocolListener& listener = {});

}  // namespace tpsp
