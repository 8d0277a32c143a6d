// What the system has counted so far, for this process and for the cores that it may run on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace tpsp {

struct CoreTimes {
  double busy_s = 0;    ///< in programs and the kernel; interrupts apart
  double stolen_s = 0;  ///< wanted, and given to another virtual machine
};

/// Figures that the system does not report stay 0 or empty.
struct MachineCounters {
  double uptime_s = 0;
  std::string process;              ///< its number and start, which no other process of the host has both
  double own_s = 0;                 ///< processor time of all threads of this process
  std::map<int, CoreTimes> cores;   ///< those that this process may run on
  std::optional<double> clock_ghz;  ///< of the core that it runs on
  std::int64_t throttles = 0;       ///< by the CPU limits of its control groups
  double throttled_s = 0;
  std::int64_t swapped_bytes = 0;  ///< to swap and back, by all programs
};

/// `root` is "/", or a folder with the same files.
MachineCounters read_counters(const std::filesystem::path& root);

/// The host's name by which warnings call it.
std::string host_in(const std::filesystem::path& root);

/// The cores that this process may run on; empty where the system does not report them.
std::set<int> allowed_cores(const std::filesystem::path& root);

/// The cores that the host has; empty where the system does not report them.
std::set<int> online_cores(const std::filesystem::path& root);

}  // namespace tpsp
