// What the commands that measure have in common.
#pragma once

#include <c10/core/Device.h>
#include <spdlog/spdlog.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "settings.h"
#include "tpsp/comm/world.h"
#include "tpsp/machine/binding.h"
#include "tpsp/results/row.h"

namespace tpsp {

/// Sets how many threads this rank computes with, `asked` or its cores, and gives rank 0's number. `run` gets the cores
/// and what is wrong about them. Collective.
int choose_threads(Provenance& run, std::optional<int> asked, const RankCores& cores, c10::Device device, World& world,
                   spdlog::logger& log);

/// Of a run that stands still, where nothing else is asked for.
inline constexpr double shortest_timeout_s = 120;

/// A failed check counts most.
ExitCode worse(ExitCode a, ExitCode b);
ExitCode worse(ExitCode code, const Row& row);

spdlog::level::level_enum log_level(const CommandLine& line);

/// What the files say of the cases that they have, by key.
using Known = std::map<std::string, ExitCode>;

/// Rank 0 has read the files and broadcasts what they hold. Collective.
Known known_to_rank_0(World& world, const std::vector<Row>& rows);

/// `code`, or what the case of `key` makes of it where it is known: its row stays and counts, measured again or not.
ExitCode worse(ExitCode code, const Known& known, const std::string& key);

}  // namespace tpsp
