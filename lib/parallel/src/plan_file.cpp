// The two written forms of a plan: YAML, and one rule a line.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "rule_fields.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "tpsp/parallel/plan.h"

namespace tpsp {
namespace {

Rule yaml_rule(const YamlMap& map) {
  map.allow_only({"match", "style", "in", "want", "out"});
  Rule rule;
  rule.pattern = map.text("match");
  rule.where = map.where();
  check_pattern(rule.pattern, map.where("match"));
  rule.style = style_field(map.text("style"), map.where("style"));
  if (map.has("in")) rule.in = placement_field(map.text("in"), map.where("in"));
  if (map.has("want")) rule.want = placement_field(map.text("want"), map.where("want"));
  if (map.has("out")) rule.out = placement_field(map.text("out"), map.where("out"));
  return rule;
}

struct Word {
  std::string_view text;
  std::size_t column;  ///< from 1
};

// The words of a line up to a comment. A '#' begins one at the start of a word, so that a regex may hold it.
std::vector<Word> words_of(std::string_view line) {
  std::vector<Word> words;
  constexpr std::string_view blanks = " \t\r";
  for (std::size_t begin = line.find_first_not_of(blanks); begin != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(blanks, begin), line.size());
    if (line[begin] == '#') break;
    words.push_back({line.substr(begin, end - begin), begin + 1});
    begin = line.find_first_not_of(blanks, end);
  }
  return words;
}

void set_field(Rule& rule, std::string_view word, const std::string& where) {
  const auto equals = word.find('=');
  const auto key = word.substr(0, equals);
  std::optional<Placement>* field = key == "in"     ? &rule.in
                                    : key == "want" ? &rule.want
                                    : key == "out"  ? &rule.out
                                                    : nullptr;
  if (equals == std::string_view::npos || field == nullptr) {
    throw bad_input({.where = where,
                     .what = fmt::format("'{}' is no part of a rule", word),
                     .remedy = "write <regex> <style> [in=PLACEMENT] [want=PLACEMENT] [out=PLACEMENT]"});
  }
  if (field->has_value()) throw bad_input({.where = where, .what = fmt::format("{}= is given twice", key)});
  *field = placement_field(word.substr(equals + 1), where);
}

Rule line_rule(const std::vector<Word>& words, const std::string& line_where) {
  const auto where = [&](const Word& word) { return fmt::format("{}:{}", line_where, word.column); };
  Rule rule;
  rule.pattern = words[0].text;
  rule.where = where(words[0]);
  check_pattern(rule.pattern, rule.where);
  if (words.size() < 2) {
    throw bad_input({.where = rule.where,
                     .what = fmt::format("rule '{}' has no style", rule.pattern),
                     .remedy = "write <regex> <style> [in=PLACEMENT] [want=PLACEMENT] [out=PLACEMENT]"});
  }
  rule.style = style_field(words[1].text, where(words[1]));
  for (std::size_t i = 2; i < words.size(); ++i) set_field(rule, words[i].text, where(words[i]));
  return rule;
}

}  // namespace

RE2::Options pattern_options() {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(1 << 20);
  return options;
}

void check_pattern(const std::string& pattern, const std::string& where) {
  const RE2 regex(pattern, pattern_options());
  if (regex.ok()) return;
  const auto column = pattern.find(regex.error_arg());
  const bool placed = !regex.error_arg().empty() && column != std::string::npos;
  throw bad_input({.where = where,
                   .what = fmt::format("regular expression '{}' does not compile", pattern),
                   .why = placed ? fmt::format("{}, at its character {}", regex.error(), column + 1) : regex.error(),
                   .remedy = "see RE2's syntax; a literal dot is written \\."});
}

std::vector<Rule> parse_yaml_rules(std::string_view text, const std::string& source) {
  const auto root = YamlMap::parse(text, source);
  root.allow_only({"rules"});
  std::vector<Rule> rules;
  for (const auto& map : root.maps("rules")) rules.push_back(yaml_rule(map));
  return rules;
}

std::vector<Rule> parse_line_rules(std::string_view text, const std::string& source) {
  std::vector<Rule> rules;
  int number = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    const auto words = words_of(line);
    if (!words.empty()) rules.push_back(line_rule(words, fmt::format("{}:{}", source, number)));
  }
  return rules;
}

Plan parse_plan(const std::string& name, const std::string& source, std::string_view text) {
  const bool lines = source.ends_with(".rules");
  Plan plan{.name = name,
            .source = source,
            .text = std::string(text),
            .rules = lines ? parse_line_rules(text, source) : parse_yaml_rules(text, source)};
  if (plan.rules.empty()) {
    throw bad_input({.where = source, .what = "the plan has no rules", .remedy = "see docs/plan-files.md"});
  }
  constexpr std::size_t most_rules = 10'000;  // a thousand layers have fewer modules with weights
  if (plan.rules.size() > most_rules) {
    throw bad_input({.where = plan.rules[most_rules].where,
                     .what = fmt::format("the plan has {} rules, and {} are read", plan.rules.size(), most_rules),
                     .remedy = "let one regular expression match many modules"});
  }
  return plan;
}

}  // namespace tpsp
