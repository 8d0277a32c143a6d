#include "tpsp/core/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace tpsp {

std::shared_ptr<spdlog::logger> make_logger(int rank, spdlog::level::level_enum level) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>(fmt::format("rank {}", rank), std::move(sink));
  logger->set_pattern("[%n] %l: %v");
  logger->set_level(level);
  return logger;
}

}  // namespace tpsp
