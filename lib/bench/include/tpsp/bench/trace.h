// Profiled forwards in Chrome's trace format, which Perfetto (https://ui.perfetto.dev) shows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tpsp/bench/profile.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// This rank's steady clock minus rank 0's, in seconds: 0 on rank 0's host, elsewhere the middle of the quickest of
/// several exchanges (Cristian, Distributed Computing 3, 1989), right to within half of that exchange. Collective.
double clock_offset_s(World& world);

/// Forwards one after the other, a track for each rank, on rank 0's clock.
class Trace {
 public:
  /// Adds one forward, called `name`, of all ranks. Collective.
  void add(World& world, const std::string& name, const std::vector<PhaseInterval>& mine);
  /// The whole file, on rank 0.
  std::string json() const;

 private:
  std::optional<double> zero_s_;     ///< rank 0's clock when the first forward began
  std::vector<std::string> events_;  ///< JSON objects, one a line, on rank 0
};

}  // namespace tpsp
