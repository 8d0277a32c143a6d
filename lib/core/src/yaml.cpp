#include "tpsp/core/yaml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "yaml_guard.h"

namespace tpsp {
namespace {

constexpr std::size_t max_bytes = std::size_t{1} << 20;

bool is_quoted(const YAML::Node& node) { return node.Tag() == "!"; }

std::string describe(const YAML::Node& node) {
  if (node.IsMap()) return "a mapping";
  if (node.IsSequence()) return "a list";
  if (node.IsScalar()) return (is_quoted(node) ? "the quoted text " : "") + quote(node.Scalar());
  return "nothing";
}

}  // namespace

YamlMap::YamlMap(YAML::Node node, std::string source) : node_(std::move(node)), source_(std::move(source)) {
  if (!node_.IsMap()) {
    throw bad_input(
        {where(), "here is " + describe(node_) + " where a mapping should be", {}, "write lines of 'key: value'"});
  }
  std::map<std::string, int> lines;
  for (const auto& entry : node_) {
    const YAML::Node& key = entry.first;
    const std::string place = yaml_place(source_, key.Mark());
    if (!key.IsScalar()) {
      throw bad_input({place, "a key is " + describe(key), {}, "write a name before the ':'"});
    }
    const auto [first, is_new] = lines.emplace(key.Scalar(), key.Mark().line + 1);
    if (!is_new) {
      throw bad_input({place, "the key " + quote(key.Scalar()) + " is here twice",
                       fmt::format("first on line {}", first->second), "keep one of them"});
    }
  }
}

YamlMap YamlMap::parse(std::string_view text, const std::string& source) {
  if (text.size() > max_bytes) {
    throw bad_input({source, "the text is too long", fmt::format("{} bytes, at most {}", text.size(), max_bytes),
                     "give a smaller file"});
  }
  guard_yaml(text, source);
  const YAML::Node root = YAML::Load(std::string(text));
  if (root.IsNull()) throw bad_input({source, "the document is empty", {}, "write lines of 'key: value'"});
  return {root, source};
}

bool YamlMap::has(std::string_view key) const {
  for (const auto& entry : node_) {
    if (entry.first.Scalar() == key) return true;
  }
  return false;
}

std::vector<std::string> YamlMap::keys() const {
  std::vector<std::string> names;
  for (const auto& entry : node_) names.push_back(entry.first.Scalar());
  return names;
}

void YamlMap::allow_only(const std::vector<std::string>& known) const {
  for (const auto& entry : node_) {
    const std::string& key = entry.first.Scalar();
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw bad_input({yaml_place(source_, entry.first.Mark()), "unknown key " + quote(key), {}, suggest(key, known)});
  }
}

YAML::Node YamlMap::at(std::string_view key) const {
  for (const auto& entry : node_) {
    if (entry.first.Scalar() == key) return entry.second;
  }
  throw bad_input({where(), "the key " + quote(key) + " is missing", {}, fmt::format("add a line '{}: ...'", key)});
}

std::string YamlMap::text(std::string_view key) const {
  const YAML::Node value = at(key);
  if (value.IsScalar()) return value.Scalar();
  throw bad_input(
      {where(key), fmt::format("'{}' is {}, not text", key, describe(value)), {}, "write one word or a quoted text"});
}

std::int64_t YamlMap::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const YAML::Node value = at(key);
  const std::string place = where(key);
  if (!value.IsScalar() || is_quoted(value)) {
    throw bad_input({place,
                     fmt::format("'{}' is {}, not an integer", key, describe(value)),
                     {},
                     fmt::format("write decimal digits without quotes, from {} to {}", min, max)});
  }
  return parse_integer(value.Scalar(), fmt::format("{}: {}", place, key), min, max);
}

double YamlMap::real(std::string_view key, double min, double max) const {
  const YAML::Node value = at(key);
  const bool plain = value.IsScalar() && !is_quoted(value);
  const std::string scalar = plain ? value.Scalar() : std::string();
  double number = 0;
  const auto [end, error] = std::from_chars(scalar.data(), scalar.data() + scalar.size(), number);
  const bool complete = plain && error == std::errc() && end == scalar.data() + scalar.size() && std::isfinite(number);
  const std::string remedy = fmt::format("give a number from {} to {}", min, max);
  if (!complete)
    throw bad_input({where(key), fmt::format("'{}' is {}, not a number", key, describe(value)), {}, remedy});
  if (number < min || number > max) {
    throw bad_input({where(key), fmt::format("'{}' is {}, which is out of range", key, describe(value)), {}, remedy});
  }
  return number;
}

std::vector<YamlMap> YamlMap::maps(std::string_view key) const {
  const YAML::Node value = at(key);
  if (!value.IsSequence()) {
    throw bad_input({where(key),
                     fmt::format("'{}' is {}, not a list of mappings", key, describe(value)),
                     {},
                     "begin each item with '- key: value'"});
  }
  std::vector<YamlMap> items;
  for (const YAML::Node& item : value) items.emplace_back(item, source_);
  return items;
}

std::string YamlMap::scalar_or_list(std::string_view key) const {
  const YAML::Node value = at(key);
  if (value.IsScalar()) return value.Scalar();
  std::vector<std::string> items;
  bool scalars = value.IsSequence() && value.size() > 0;
  for (auto item = value.begin(); scalars && item != value.end(); ++item) {
    scalars = item->IsScalar();
    if (scalars) items.push_back(item->Scalar());
  }
  if (scalars) return join(items, ",");
  throw bad_input(
      {where(key), fmt::format("'{}' is neither a value nor a list of values", key), {}, "write one value, or [a, b]"});
}

std::string YamlMap::where() const { return yaml_place(source_, node_.Mark()); }

std::string YamlMap::where(std::string_view key) const {
  for (const auto& entry : node_) {
    if (entry.first.Scalar() == key) return yaml_place(source_, entry.first.Mark());
  }
  return where();
}

}  // namespace tpsp
