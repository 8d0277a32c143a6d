// What the main job was asked to do.
#pragma once

#include <spdlog/spdlog.h>

#include <optional>
#include <string>

#include "settings.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/comm/backend.h"

namespace tpsp {

struct BenchOptions {
  Sweep sweep;
  std::string backend;
  std::string out;
  std::optional<int> threads;
  std::optional<std::string> export_folder;
};

/// Every setting, validated for this world. Throws bad_input that names the setting's place. Not collective.
BenchOptions read_options(const CommandLine& line, const World& world, spdlog::logger& log);

/// What the ranks' collectives follow from, one fact a line, for require_same.
std::string facts_of(const BenchOptions& options, const Backend& backend);

}  // namespace tpsp
