// Many cases and the protocol that measures them, from one file.
#pragma once

#include <string>
#include <vector>

#include "tpsp/core/yaml.h"

namespace tpsp {

/// What one entry of a suite sets, the strongest first: the entry's own keys, then the suite's.
struct SuiteEntry {
  std::vector<YamlMap> maps;
  std::vector<std::int64_t> worlds;  ///< world sizes that it is for; empty for any
  std::string device;                ///< that it is for; empty for any
};

struct Suite {
  std::string name;
  std::vector<SuiteEntry> entries;
};

/// The suite that `--suite` names, built in or a file:
///
///     order: random                 # any option of a case or of the protocol, for all entries
///     cases:
///       - {model: llama-7b, layers: 2, plan: [tp, tp+sp], seq: [256, 512], world: [1, 2]}
///
/// Throws bad_input with file, line and column for unknown keys, and for a suite without cases.
Suite load_suite(const std::string& name_or_path);

}  // namespace tpsp
