// Strict reading of small YAML files: every mistake is an Error that names file, line and column.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

/// One mapping of a YAML document. Construction refuses duplicate keys; `allow_only` refuses unknown ones.
class YamlMap {
 public:
  /// `source` is what messages call the document: a path or "built-in plan tp".
  YamlMap(YAML::Node node, std::string source);

  /// Parses `text` as one document whose root is a mapping. Refuses: over 1 MiB, nesting over 16 deep, anchors and
  /// aliases (so no cycles and no "billion laughs"), tags, several documents, a root that is no mapping.
  static YamlMap parse(std::string_view text, const std::string& source);

  bool has(std::string_view key) const;
  std::vector<std::string> keys() const;
  /// Throws for the first key that is not in `known`, naming its place and the nearest known key.
  void allow_only(const std::vector<std::string>& known) const;

  // Typed access. Throws, with the key's place, when the key is absent or its value has another type or range. A quoted
  // scalar is text and never a number or a boolean; an integer is decimal digits only.
  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  double real(std::string_view key, double min, double max) const;  ///< finite, in [min, max]
  std::vector<YamlMap> maps(std::string_view key) const;            ///< a sequence of mappings
  /// A scalar as it is written, or a sequence of scalars separated by commas: for values parsed as option texts.
  std::string scalar_or_list(std::string_view key) const;

  /// "file:line:column" of the mapping, or of a key in it.
  std::string where() const;
  std::string where(std::string_view key) const;
  const std::string& source() const { return source_; }

 private:
  YAML::Node at(std::string_view key) const;

  YAML::Node node_;
  std::string source_;
};

}  // namespace tpsp
