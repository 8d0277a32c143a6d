#pragma once

namespace tpsp {

/// Whether a person sees stdout as it is written, also through mpirun.
bool stdout_is_terminal();

/// Whether colours belong on stdout: a person's terminal, and NO_COLOR (https://no-color.org) is not set.
bool wants_color();

}  // namespace tpsp
