// What `tpsp-bench comm` was asked to do.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "settings.h"
#include "tpsp/bench/comm_sweep.h"
#include "tpsp/comm/backend.h"

namespace tpsp {

struct CommOptions {
  CommSweep sweep;
  std::vector<std::string> backends;  ///< as asked for
  std::optional<int> threads;
  bool bind = true;
  std::optional<double> timeout_s;  ///< as in BenchOptions
  std::vector<std::filesystem::path> outs;
  bool resume = false;
};

/// Every setting, validated for this world. Throws bad_input that names the setting's place. Not collective.
CommOptions read_comm_options(const CommandLine& line, const World& world, spdlog::logger& log);

/// The backends of the list `names`, each once: "auto" is the preferred one, "all" are those that do not refuse. Throws
/// bad_input as choose_backend does.
std::vector<Backend> choose_backends(const std::vector<Backend>& backends, const std::vector<std::string>& names,
                                     const World& world, at::Device device,
                                     const std::optional<std::string>& shared_gpu);

/// What the ranks' collectives follow from, one fact a line, for require_same.
std::string facts_of(const CommOptions& options, const std::vector<Backend>& backends);

/// Sizes as parse_sizes reads them, where K, M and G after a number are powers of 1024: "8M", "1K..32M*4".
std::vector<std::int64_t> parse_byte_sizes(const std::string& text, const std::string& where, std::int64_t min,
                                           std::int64_t max);

}  // namespace tpsp
