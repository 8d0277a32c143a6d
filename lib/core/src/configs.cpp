#include "tpsp/core/configs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/core/text.h"
#include "tpsp/core/width.h"

namespace tpsp {
namespace {

constexpr std::size_t max_bytes = std::size_t{1} << 20;
constexpr std::string_view yaml_ending = ".yaml";

std::string name_of(const std::filesystem::path& file) {
  const bool yaml = file.extension() == ".yaml" || file.extension() == ".yml";
  const auto name = valid_utf8((yaml ? file.stem() : file.filename()).string());
  return shortened(name, name.size());
}

std::optional<ConfigText> find_built_in(std::string_view kind, std::string_view name,
                                        std::span<const EmbeddedConfig> built_in) {
  if (name.empty() || name.find('/') != std::string_view::npos) return std::nullopt;
  const std::string path = fmt::format("{}/{}", kind, name);
  for (const EmbeddedConfig& config : built_in) {
    if (config.path == path || config.path == path + std::string(yaml_ending)) {
      return ConfigText{name_of(config.path), fmt::format("<built-in>/{}", config.path), std::string(config.text)};
    }
  }
  return std::nullopt;
}

}  // namespace

ConfigText find_config(std::string_view kind, const std::string& name, std::span<const EmbeddedConfig> built_in) {
  if (auto found = find_built_in(kind, name, built_in)) return *found;
  std::error_code ignored;
  if (!name.empty() && std::filesystem::exists(name, ignored)) return {name_of(name), name, read_text(name, max_bytes)};
  const std::string_view singular = kind.ends_with('s') ? kind.substr(0, kind.size() - 1) : kind;
  throw bad_input({fmt::format("--{} {}", singular, quote(name)),
                   fmt::format("no built-in {} and no file is called that", singular),
                   {},
                   suggest(name, builtin_names(kind, built_in))});
}

std::vector<std::string> builtin_names(std::string_view kind, std::span<const EmbeddedConfig> built_in) {
  const std::string folder = fmt::format("{}/", kind);
  std::vector<std::string> names;
  for (const EmbeddedConfig& config : built_in) {
    if (!config.path.starts_with(folder)) continue;
    std::string_view name = config.path.substr(folder.size());
    if (name.ends_with(yaml_ending)) name.remove_suffix(yaml_ending.size());
    names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tpsp
