// Disturbances of a measurement by the machine: other load, stolen time, changed frequency, swapping, bad binding.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/results/row.h"

namespace tpsp {

struct MachineCounters;

/// Reads the system's counters before and after a measurement. Each rank reads its own host's; the warnings of all
/// hosts are those of the row.
///
/// Flags, of the cores that a host's ranks may run on: "steal" (a hypervisor took more than 1% of their time),
/// "other-load" (programs other than the ranks used more than 5% of one core on average, and 0.1 s), "frequency" (the
/// clock of the core that a rank runs on was more than 5% higher or lower at the end, where the system reports it),
/// "throttled" (a CPU limit of the ranks' control groups was hit), "swap" (more than 1 MiB went to swap or came from
/// it, whoever's it is).
class MachineWatch {
 public:
  /// `root` is "/" but in tests, where a folder with the same files stands for the system.
  explicit MachineWatch(std::filesystem::path root = "/") : root_(std::move(root)) {}

  void begin();
  /// The warnings since begin(), one a flag, the worst host's, the same on all ranks; they name the host, the figure
  /// and what to do. Collective.
  std::vector<Warning> end(World& world);

 private:
  std::filesystem::path root_;
  std::shared_ptr<const MachineCounters> before_;
};

/// What is wrong before anything is measured: "oversubscribed" (ranks of a host have more threads than there are cores
/// that they may run on), "shared-core" (ranks of a host are bound to the same single core), "debug-build" (assertions
/// are on or optimisation is off). `threads` are this rank's; `root` as above. The same on all ranks. Collective.
std::vector<Warning> setup_warnings(World& world, int threads, const std::filesystem::path& root = "/");

}  // namespace tpsp
