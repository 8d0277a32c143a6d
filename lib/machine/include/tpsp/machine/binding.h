// The cores that the ranks of a run compute on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/machine/cpus.h"

namespace tpsp {

/// Where the ranks are after bind_ranks. All but `mine` and `host` are the same on all ranks.
struct RankCores {
  std::string by;    ///< as the column binding has it
  std::string cpus;  ///< as the column cpus has it
  int mine = 1;      ///< physical cores of this rank, or its share of those that it shares with others
  int host = 1;      ///< processors of this host
  std::string note;  ///< message for the user: where each rank is bound, or why none was; may be empty
};

/// Gives each rank of a host cores of its own, unless whoever started them did (machine/cpus.h says how).
class RankBinder {
 public:
  /// Learns where all ranks may run; binds nothing. Ranks that are threads of one process are never bound. Collective.
  explicit RankBinder(World& world);

  /// With `wanted`, binds all threads that this process has, and with them those to come; without, they are where
  /// they were at the start. To be called before LibTorch makes its threads and anything large is in memory.
  /// Collective.
  RankCores bind_ranks(bool wanted);

 private:
  Shares shares_of(bool wanted) const;
  bool bind(const Shares& shares);

  std::string why_not(const Shares& shares, bool wanted, bool refused) const;

  World& world_;
  std::optional<HostCores> host_;  ///< none where hwloc does not know
  std::vector<int> neighbours_;    ///< the ranks of this host, this one among them
  std::vector<Cpus> allowed_;      ///< what each of them might run on at the start
  std::size_t me_ = 0;             ///< among them
  bool threads_ = false;           ///< the ranks are threads of one process
};

}  // namespace tpsp
