#pragma once

#include <re2/re2.h>

#include <string>
#include <string_view>
#include <vector>

#include "tpsp/core/yaml.h"
#include "tpsp/parallel/plan.h"

namespace tpsp {

// The texts of one rule's fields; throw bad_input at `where`, naming the choices.
Style style_field(std::string_view text, const std::string& where);
Placement placement_field(std::string_view text, const std::string& where);
/// How patterns are compiled: in a megabyte at most, so that no pattern takes long.
RE2::Options pattern_options();
/// Throws bad_input with RE2's reason, and the column of the faulty part, unless `pattern` compiles.
void check_pattern(const std::string& pattern, const std::string& where);

std::vector<Rule> parse_yaml_rules(std::string_view text, const std::string& source);
std::vector<Rule> parse_line_rules(std::string_view text, const std::string& source);

}  // namespace tpsp
