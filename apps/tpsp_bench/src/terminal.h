#pragma once

namespace tpsp {

/// Whether colours belong on stdout: a person's terminal, and NO_COLOR (https://no-color.org) is not set.
bool wants_color();

}  // namespace tpsp
