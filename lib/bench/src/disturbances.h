// Measurements, and what the machine did meanwhile.
#pragma once

#include <vector>

#include "tpsp/bench/protocol.h"
#include "tpsp/results/row.h"

namespace tpsp {

struct Measured {
  std::vector<Measurement> results;
  std::vector<Warning> disturbances;  ///< what the system's counters say of the timed repetitions
};

/// As `measure`. Collective.
Measured measure_with_disturbances(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                   EventCounter& counter, DeviceProbe& probe, const ProtocolListener& listener);

}  // namespace tpsp
