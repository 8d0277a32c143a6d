#include "tpsp/parallel/plan.h"

#include <fmt/format.h>

#include <array>

#include "rule_fields.h"
#include "tpsp/core/configs.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

struct StyleName {
  Style style;
  std::string_view name;
};
constexpr std::array style_names{
    StyleName{Style::colwise, "colwise"}, StyleName{Style::rowwise, "rowwise"}, StyleName{Style::sequence, "sequence"},
    StyleName{Style::prepare_input, "prepare_input"}, StyleName{Style::replicate, "replicate"}};

}  // namespace

std::string_view to_string(Style style) { return style_names.at(static_cast<std::size_t>(style)).name; }

std::optional<Style> parse_style(std::string_view text) {
  for (const auto& [style, name] : style_names) {
    if (name == text) return style;
  }
  return std::nullopt;
}

Style style_field(std::string_view text, const std::string& where) {
  if (const auto style = parse_style(text)) return *style;
  std::vector<std::string> names;
  for (const auto& [style, name] : style_names) names.emplace_back(name);
  throw bad_input({.where = where, .what = fmt::format("unknown style '{}'", text), .remedy = suggest(text, names)});
}

Placement placement_field(std::string_view text, const std::string& where) {
  if (const auto placement = parse_placement(text)) return *placement;
  const std::array<std::string, 4> names{"replicate", "shard(seq)", "shard(feature)", "partial"};
  throw bad_input(
      {.where = where, .what = fmt::format("unknown placement '{}'", text), .remedy = suggest(text, names)});
}

Plan load_plan(const std::string& name_or_path) {
  const auto config = find_config("plans", name_or_path);
  return parse_plan(config.name, config.source, config.text);
}

}  // namespace tpsp
