// The files of configs/, built into the program.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

struct EmbeddedConfig {
  std::string_view path;  ///< relative to configs/, such as "plans/tp.yaml"
  std::string_view text;
};

/// Every file under configs/, as it was when the program was built.
std::span<const EmbeddedConfig> embedded_configs();

struct ConfigText {
  std::string name;    ///< the file's, without .yaml or .yml; valid UTF-8 without control characters
  std::string source;  ///< the path, or "<built-in>/plans/tp.yaml"; what messages call it
  std::string text;
};

/// The configuration called `name` of a kind ("models", "plans"): a built-in name ("tp", "tp.rules", "llama-7b"; the
/// ending .yaml may be left out), else a file path. A name with a '/' is always a file. Throws bad_input listing the
/// nearest or all built-in names. `built_in` is what the program carries; a test may pass its own.
ConfigText find_config(std::string_view kind, const std::string& name,
                       std::span<const EmbeddedConfig> built_in = embedded_configs());

/// The built-in names of a kind, sorted, without .yaml: {"llama-13b", "llama-7b", ...}.
std::vector<std::string> builtin_names(std::string_view kind,
                                       std::span<const EmbeddedConfig> built_in = embedded_configs());

}  // namespace tpsp
