// Timing: contestants in turn, warm-up apart, the slowest rank of every repetition.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tpsp/bench/device.h"
#include "tpsp/comm/counting.h"
#include "tpsp/comm/world.h"

namespace tpsp {

struct Protocol {
  int warmup = 1;
  int reps = 5;
};

/// What is measured: one whole piece of work, done by all ranks, that lets go of what it made.
using Workload = std::function<void()>;

struct Measurement {
  std::vector<double> samples_s;     ///< one a repetition: its slowest rank
  std::int64_t allocated_bytes = 0;  ///< peak over the repetitions and ranks
  std::int64_t reserved_bytes = 0;   ///< likewise
  CommCounts counts;                 ///< of one repetition, on this rank
};

/// Warms every workload up, then times them in turn (a, b, a, b, ...), each repetition behind a barrier and up to the
/// device's last kernel. Collective; all ranks get the same result but for the counts.
std::vector<Measurement> measure(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                 CountingCommunicator& comm, DeviceProbe& probe);

/// The middle sample, or the mean of the two middle ones. Throws std::invalid_argument for none.
double median(std::vector<double> samples);

}  // namespace tpsp
