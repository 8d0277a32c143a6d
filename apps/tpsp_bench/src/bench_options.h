// What the main job was asked to do.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "settings.h"
#include "tpsp/bench/sweep.h"

namespace tpsp {

/// One sweep and what it runs on.
struct BenchJob {
  Sweep sweep;
  std::string backend;  ///< as asked for
  std::string suite{};  ///< that the case is from
  std::optional<int> threads;
  bool peaks = true;
  bool bind = true;  ///< unbound ranks are given cores of their own
};

struct BenchOptions {
  std::vector<BenchJob> jobs;  ///< one, or a suite's
  std::vector<std::filesystem::path> outs;
  bool resume = false;
  std::optional<std::string> trace;
  std::optional<std::string> export_folder;
  std::optional<double> timeout_s;                  ///< 0 for none; nothing for one by the size of the cases
  std::optional<std::filesystem::path> gemm_cache;  ///< nothing where none is kept
};

/// Every setting, validated for this world. Entries of a suite that are for another world size, or for a device that
/// is not here, are left out with a log line. Throws bad_input that names the setting's place. Not collective.
BenchOptions read_options(const CommandLine& line, const World& world, spdlog::logger& log);

/// What the ranks' collectives follow from, one fact a line, for require_same.
std::string facts_of(const BenchOptions& options);

}  // namespace tpsp
