#include "tpsp/models/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/core/configs.h"
#include "tpsp/core/error.h"
#include "tpsp/core/yaml.h"

namespace tpsp {
namespace {

constexpr std::int64_t largest_size = 1 << 20;

std::int64_t size_or(const YamlMap& map, std::string_view key, std::int64_t otherwise) {
  return map.has(key) ? map.integer(key, 1, largest_size) : otherwise;
}

double real_or(const YamlMap& map, std::string_view key, double otherwise, double max) {
  return map.has(key) ? map.real(key, 1e-12, max) : otherwise;
}

std::int64_t derived_ffn(const YamlMap& map, std::int64_t hidden) {
  const auto growth = real_or(map, "ffn_growth", 8.0 / 3.0, 64);
  const auto multiple = size_or(map, "ffn_multiple_of", 256);
  const auto size = std::max<std::int64_t>(1, static_cast<std::int64_t>(growth * static_cast<double>(hidden)));
  return (size + multiple - 1) / multiple * multiple;
}

void check_fits(bool fits, const YamlMap& map, std::string_view key, std::string what) {
  if (!fits) throw bad_input({.where = map.where(key), .what = std::move(what), .remedy = "correct one of the two"});
}

void check_sizes(const LlamaConfig& config, const YamlMap& map) {
  check_fits(config.hidden % config.heads == 0, map, "heads",
             fmt::format("{} heads do not divide hidden size {}", config.heads, config.hidden));
  check_fits(config.head_dim() % 2 == 0, map, "heads",
             fmt::format("a head of {} elements is odd, and rotary positions turn pairs", config.head_dim()));
  check_fits(config.heads % config.kv_heads == 0, map, map.has("kv_heads") ? "kv_heads" : "heads",
             fmt::format("{} kv heads do not divide {} heads", config.kv_heads, config.heads));
  check_fits(!(map.has("ffn") && (map.has("ffn_growth") || map.has("ffn_multiple_of"))), map, "ffn",
             "ffn is given and derived at once");
}

}  // namespace

LlamaConfig parse_model(const std::string& name, const std::string& source, std::string_view text) {
  const auto map = YamlMap::parse(text, source);
  map.allow_only({"hidden", "layers", "heads", "kv_heads", "ffn", "ffn_growth", "ffn_multiple_of", "vocabulary",
                  "norm_eps", "rope_theta"});
  LlamaConfig config{.name = name};
  config.hidden = map.integer("hidden", 2, largest_size);
  config.layers = map.integer("layers", 1, 1000);
  config.heads = map.integer("heads", 1, largest_size);
  config.kv_heads = size_or(map, "kv_heads", config.heads);
  config.vocabulary = map.integer("vocabulary", 2, largest_size);
  config.norm_eps = real_or(map, "norm_eps", 1e-5, 1);
  config.rope_theta = real_or(map, "rope_theta", 10000, 1e12);
  config.ffn = map.has("ffn") ? map.integer("ffn", 1, largest_size) : derived_ffn(map, config.hidden);
  check_sizes(config, map);
  return config;
}

LlamaConfig load_model(const std::string& name_or_path) {
  const auto config = find_config("models", name_or_path);
  return parse_model(config.name, config.source, config.text);
}

}  // namespace tpsp
