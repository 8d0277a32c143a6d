// Which of a host's processors a rank may run on, and which it should.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

struct hwloc_topology;

namespace tpsp {

/// Processors as the system numbers them. A core with hardware threads is several.
using Cpus = std::set<int>;

/// "0-3,8"; "" for none.
std::string cpu_list(const Cpus& cpus);
/// The processors of such a list; what follows a mistake in it is left out.
Cpus parse_cpu_list(std::string_view list);

/// The cores of a host, and where this process runs.
class HostCores {
 public:
  /// This host's. Throws Error where hwloc does not know them.
  HostCores();
  /// A made-up host in hwloc's words, such as "package:2 core:4 pu:2". Throws Error for what hwloc does not understand.
  explicit HostCores(const std::string& synthetic);

  /// The processors that the control groups of this process allow it.
  Cpus allowed() const;
  /// The cores within `cpus`, topological neighbours adjacent; each is its hardware threads in `cpus`.
  std::vector<Cpus> within(const Cpus& cpus) const;
  /// The same cores by the NUMA node whose memory is theirs; where the system knows no nodes, all as one.
  std::vector<std::vector<Cpus>> nodes_within(const Cpus& cpus) const;

  /// What the calling thread may run on; empty where the system does not report it.
  Cpus binding() const;
  /// Keeps every thread of this process on `cpus`. Returns whether the system did just that.
  bool bind(const Cpus& cpus) const;

 private:
  struct Deleter {
    void operator()(hwloc_topology* topology) const;
  };
  std::unique_ptr<hwloc_topology, Deleter> topology_;
};

/// Who gave the ranks of a host their cores.
enum class Binding { none, launcher, tpsp_bench };
std::string_view to_string(Binding binding);

struct Shares {
  Binding binding = Binding::none;
  std::vector<Cpus> of_ranks;  ///< what each rank is to run on; as it was unless the binding is ours
};

/// What each rank of a host is to run on, from what each may run on now. Ranks that share no processor were bound by
/// whoever started them and stay where they are; so does a rank alone. Otherwise each gets equally many physical cores
/// of those that any of them may use, side by side in the machine: as many as there are for all with no rank on two
/// NUMA nodes, since a rank's memory is on the node that first writes it; or, where that leaves more than a quarter of
/// the cores idle, as many as there are. With more ranks than cores, nothing changes.
Shares share_cores(const HostCores& host, const std::vector<Cpus>& ranks);

}  // namespace tpsp
