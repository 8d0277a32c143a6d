// A request to end early: SIGUSR1, which Slurm sends before a job's time is up (--signal=USR1@400).
#pragma once

#include <spdlog/spdlog.h>

#include "tpsp/comm/world.h"
#include "tpsp/core/error.h"

namespace tpsp {

/// From now on SIGUSR1 does not end the process.
void take_stop_requests();

/// For a run that ended so: what is missing, and the exit code of it.
ExitCode say_stopped(spdlog::logger& log);

/// Whether any rank got the signal. Collective.
bool stop_is_asked(World& world);

}  // namespace tpsp
