#include "cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "tpsp/core/environment.h"

namespace tpsp {

Cores count_cores(World& world) {
  Cores cores{.mine = 1, .host = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))};
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const bool known = sched_getaffinity(0, sizeof mask, &mask) == 0;
  const std::string mine(reinterpret_cast<const char*>(&mask), sizeof mask);
  const auto all = world.exchange(host_name() + mine);
  const auto sharing = std::count(all.begin(), all.end(), host_name() + mine);
  const int allowed = known ? CPU_COUNT(&mask) : cores.host;
  cores.mine = std::max(allowed / static_cast<int>(sharing), 1);
  return cores;
}

}  // namespace tpsp
