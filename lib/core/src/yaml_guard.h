// A pass over the parser's events of a YAML text that refuses what the loader must never build.
#pragma once

#include <string>
#include <string_view>

#include <yaml-cpp/mark.h>

namespace tpsp {

/// "source:line:column", counted from 1; the source alone when the parser knows no place.
std::string yaml_place(const std::string& source, const YAML::Mark& mark);

/// Throws bad_input for text that is no YAML, for anchors, aliases and tags, for nesting over 16 deep, and for a second
/// document. Nothing is built meanwhile, so a hostile text costs no more than its length.
void guard_yaml(std::string_view text, const std::string& source);

}  // namespace tpsp
