#include "tpsp/bench/follower.h"

#include <fmt/format.h>

namespace tpsp {

std::string text_of(const Step& step) { return fmt::format("{}, {}, {} done", step.what, step.phase, step.done); }

}  // namespace tpsp
