// Log lines on stderr; stdout belongs to results.
#pragma once

#include <spdlog/spdlog.h>

#include <memory>

namespace tpsp {

/// A logger of one rank's own, registered nowhere: "[rank 0] warning: message" on stderr, without colours.
std::shared_ptr<spdlog::logger> make_logger(int rank, spdlog::level::level_enum level);

}  // namespace tpsp
