#include "tpsp/machine/cpus.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <tuple>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

/// hwloc's own set of processors.
class Bitmap {
 public:
  Bitmap() = default;
  explicit Bitmap(const Cpus& cpus) {
    for (const int cpu : cpus) hwloc_bitmap_set(get(), static_cast<unsigned>(cpu));
  }
  hwloc_bitmap_t get() const { return bitmap_.get(); }

 private:
  struct Deleter {
    void operator()(hwloc_bitmap_s* bitmap) const { hwloc_bitmap_free(bitmap); }
  };
  std::unique_ptr<hwloc_bitmap_s, Deleter> bitmap_{hwloc_bitmap_alloc()};
};

// Of an infinite set, which stands for "all", nothing.
Cpus cpus_of(hwloc_const_bitmap_t bitmap) {
  Cpus cpus;
  if (hwloc_bitmap_weight(bitmap) < 0) return cpus;
  for (int cpu = hwloc_bitmap_first(bitmap); cpu >= 0; cpu = hwloc_bitmap_next(bitmap, cpu)) cpus.insert(cpu);
  return cpus;
}

void require(int result, const char* call) {
  if (result == 0) return;
  throw Error(ExitCode::rows_not_ok,
              {.where = "hwloc", .what = fmt::format("{} failed", call), .why = std::strerror(errno)});
}

hwloc_topology_t new_topology() {
  hwloc_topology_t topology = nullptr;
  require(hwloc_topology_init(&topology), "hwloc_topology_init");
  return topology;
}

Cpus common(const Cpus& a, const Cpus& b) {
  Cpus both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(both, both.end()));
  return both;
}

Cpus together(const std::vector<Cpus>& ranks) {
  Cpus all;
  for (const auto& rank : ranks) all.insert(rank.begin(), rank.end());
  return all;
}

// Where no processor is counted twice, there are as many together as the ranks have one by one.
bool are_disjoint(const std::vector<Cpus>& ranks) {
  std::size_t sum = 0;
  for (const auto& rank : ranks) sum += rank.size();
  return sum == together(ranks).size();
}

// `each` cores for every rank, the ranks evenly apart.
std::vector<Cpus> divide(const std::vector<Cpus>& cores, std::size_t ranks, std::size_t each) {
  std::vector<Cpus> shares(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const auto first = rank * cores.size() / ranks;
    for (std::size_t i = 0; i < each; ++i) shares[rank].merge(Cpus(cores[first + i]));
  }
  return shares;
}

using Nodes = std::vector<std::vector<Cpus>>;

std::size_t ranks_that_fit(const Nodes& nodes, std::size_t each) {
  std::size_t ranks = 0;
  for (const auto& cores : nodes) ranks += cores.size() / each;
  return ranks;
}

// How many of the ranks each node gets: one by one to the node that has most cores for each then, the emptier of two.
std::vector<std::size_t> ranks_of_nodes(const Nodes& nodes, std::size_t ranks, std::size_t each) {
  std::vector<std::size_t> counts(nodes.size());
  const auto share = [&](std::size_t node) {
    const auto after = counts[node] + 1;
    const auto fits = after * each <= nodes[node].size();
    return std::tuple(fits, fits ? static_cast<double>(nodes[node].size()) / static_cast<double>(after) : 0,
                      -static_cast<double>(after));
  };
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < nodes.size(); ++i) {
      if (share(i) > share(best)) best = i;
    }
    ++counts[best];
  }
  return counts;
}

// The most cores that each rank can have with none of them on two nodes.
std::size_t cores_within_nodes(const Nodes& nodes, std::size_t ranks) {
  std::size_t each = 0;
  for (const auto& cores : nodes) each = std::max(each, cores.size());
  while (ranks_that_fit(nodes, each) < ranks) --each;
  return each;
}

// hwloc_distrib is not asked: where the division leaves a rest, it gives ranks different numbers of cores.
std::vector<Cpus> divide_by_node(const Nodes& nodes, std::size_t ranks, std::size_t each) {
  const auto counts = ranks_of_nodes(nodes, ranks, each);
  std::vector<Cpus> shares;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (auto& share : divide(nodes[i], counts[i], each)) shares.push_back(std::move(share));
  }
  return shares;
}

}  // namespace

std::string cpu_list(const Cpus& cpus) {
  std::vector<std::string> ranges;
  for (auto next = cpus.begin(); next != cpus.end();) {
    const int first = *next;
    int last = first;
    while (++next != cpus.end() && *next == last + 1) ++last;
    ranges.push_back(first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last));
  }
  return join(ranges, ",");
}

Cpus parse_cpu_list(std::string_view list) {
  const Bitmap bitmap;
  return hwloc_bitmap_list_sscanf(bitmap.get(), std::string(list).c_str()) == 0 ? cpus_of(bitmap.get()) : Cpus();
}

void HostCores::Deleter::operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }

HostCores::HostCores() : topology_(new_topology()) {
  // With what is forbidden to this process, so that all ranks of a host see the same one.
  require(hwloc_topology_set_flags(topology_.get(), HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED),
          "hwloc_topology_set_flags");
  require(hwloc_topology_load(topology_.get()), "hwloc_topology_load");
}

HostCores::HostCores(const std::string& synthetic) : topology_(new_topology()) {
  require(hwloc_topology_set_synthetic(topology_.get(), synthetic.c_str()), "hwloc_topology_set_synthetic");
  require(hwloc_topology_load(topology_.get()), "hwloc_topology_load");
}

Cpus HostCores::allowed() const { return cpus_of(hwloc_topology_get_allowed_cpuset(topology_.get())); }

std::vector<Cpus> HostCores::within(const Cpus& cpus) const {
  // Some virtual machines have processors and report no cores.
  const bool has_cores = hwloc_get_nbobjs_by_type(topology_.get(), HWLOC_OBJ_CORE) > 0;
  const auto type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  std::vector<Cpus> cores;
  for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(topology_.get(), type, core)) != nullptr;) {
    auto threads = common(cpus_of(core->cpuset), cpus);
    if (!threads.empty()) cores.push_back(std::move(threads));
  }
  return cores;
}

std::vector<std::vector<Cpus>> HostCores::nodes_within(const Cpus& cpus) const {
  std::vector<std::vector<Cpus>> nodes;
  auto left = cpus;  // nodes of memory of another kind repeat the processors of one before them
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(topology_.get(), HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    const auto here = common(cpus_of(node->cpuset), left);
    if (here.empty()) continue;
    nodes.push_back(within(here));
    for (const int cpu : here) left.erase(cpu);
  }
  if (!left.empty()) nodes.push_back(within(left));
  return nodes;
}

Cpus HostCores::binding() const {
  const Bitmap bitmap;
  const int result = hwloc_get_cpubind(topology_.get(), bitmap.get(), HWLOC_CPUBIND_THREAD);
  return result == 0 ? cpus_of(bitmap.get()) : Cpus();
}

bool HostCores::bind(const Cpus& cpus) const {
  const Bitmap bitmap(cpus);
  // The system may bind to less, where a control group forbids the rest.
  return hwloc_set_cpubind(topology_.get(), bitmap.get(), HWLOC_CPUBIND_PROCESS) == 0 && binding() == cpus;
}

std::string_view to_string(Binding binding) {
  switch (binding) {
    case Binding::none: return "none";
    case Binding::launcher: return "launcher";
    case Binding::tpsp_bench: return "tpsp-bench";
  }
  return "unknown";
}

Shares share_cores(const HostCores& host, const std::vector<Cpus>& ranks) {
  const auto all = together(ranks);
  const bool unknown = std::any_of(ranks.begin(), ranks.end(), [](const auto& rank) { return rank.empty(); });
  if (unknown) return {Binding::none, ranks};
  if (are_disjoint(ranks)) {
    // A single rank that may use all processors of its control group is unbound.
    const bool unbound = ranks.size() == 1 && all == host.allowed();
    return {unbound ? Binding::none : Binding::launcher, ranks};
  }
  const auto cores = host.within(all);
  if (cores.size() < ranks.size()) return {Binding::none, ranks};
  const auto nodes = host.nodes_within(all);
  const auto side_by_side = cores.size() / ranks.size();
  const auto each = cores_within_nodes(nodes, ranks.size());
  const bool idle = 4 * each < 3 * side_by_side;  // a quarter of the cores cost more than memory of another node
  return {Binding::tpsp_bench,
          idle ? divide(cores, ranks.size(), side_by_side) : divide_by_node(nodes, ranks.size(), each)};
}

}  // namespace tpsp
