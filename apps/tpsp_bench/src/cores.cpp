#include "cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace tpsp {

int default_threads(const World& world) {
  const int all = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t mine;
  const int allowed = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : all;
  if (allowed < all) return std::max(allowed, 1);
  return std::max(all / world.local_size(), 1);
}

}  // namespace tpsp
