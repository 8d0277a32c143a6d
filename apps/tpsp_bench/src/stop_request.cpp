#include "stop_request.h"

#include <csignal>

namespace tpsp {
namespace {

volatile std::sig_atomic_t asked = 0;

}  // namespace

void take_stop_requests() {
  std::signal(SIGUSR1, [](int) { asked = 1; });
}

ExitCode say_stopped(spdlog::logger& log) {
  log.error("ended by SIGUSR1 before its last case; --resume measures what is not run");
  return ExitCode::rows_not_ok;
}

bool stop_is_asked(World& world) { return max_over_ranks(world, {static_cast<double>(asked)}).front() > 0; }

}  // namespace tpsp
