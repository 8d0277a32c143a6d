#include "tpsp/bench/clock.h"

#include <chrono>

namespace tpsp {

double steady_clock_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tpsp
