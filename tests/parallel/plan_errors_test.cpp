// What a plan's author reads: the exact place, what is wrong, and what to write.
#include <catch2/catch.hpp>

#include "parallel/small_model.h"
#include "support/thrown.h"
#include "tpsp/parallel/plan.h"

using namespace tpsp;

namespace {

/// What a file of one-line rules is refused with.
std::string rules_complaint(const std::string& text) {
  return complaint_of([&] { rules(text); });
}

std::string yaml_complaint(const std::string& text) {
  return complaint_of([&] { parse_plan("mine", "mine.yaml", text); });
}

/// What a YAML plan of this one rule, between braces on line 2 from column 5, is refused with.
std::string yaml_rule_complaint(const std::string& rule) { return yaml_complaint("rules:\n  - {" + rule + "}\n"); }

const std::string line_form = "write <regex> <style> [in=PLACEMENT] [want=PLACEMENT] [out=PLACEMENT]";

}  // namespace

TEST_CASE("an unknown style is answered with the nearest") {
  CHECK(rules_complaint("w1 colwise\n  w2   rowise\n") ==
        "mine.rules:2:8: unknown style 'rowise'; did you mean 'rowwise'?");
  CHECK(yaml_rule_complaint("match: w2, style: rowise") ==
        "mine.yaml:2:17: unknown style 'rowise'; did you mean 'rowwise'?");
}

TEST_CASE("a style that is near to none is answered with the choices") {
  CHECK(rules_complaint("w tensor") ==
        "mine.rules:1:3: unknown style 'tensor'; the choices are colwise, rowwise, sequence, prepare_input, replicate");
}

TEST_CASE("an unknown placement is answered with the nearest") {
  CHECK(rules_complaint("w rowwise out=shard(sec)") ==
        "mine.rules:1:11: unknown placement 'shard(sec)'; did you mean 'shard(seq)'?");
  CHECK(yaml_rule_complaint("match: w, style: rowwise, out: shard(sec)") ==
        "mine.yaml:2:32: unknown placement 'shard(sec)'; did you mean 'shard(seq)'?");
}

TEST_CASE("a placement that is left out after its '=' is answered with the choices") {
  CHECK(rules_complaint("w rowwise out=") ==
        "mine.rules:1:11: unknown placement ''; the choices are replicate, shard(seq), shard(feature), partial");
}

TEST_CASE("an unknown placement is found in every field") {
  const std::string key = GENERATE("in", "want", "out");
  CHECK_THAT(rules_complaint("w prepare_input " + key + "=sum"),
             Catch::StartsWith("mine.rules:1:17: unknown placement 'sum'"));
  CHECK_THAT(yaml_rule_complaint("match: w, style: prepare_input, " + key + ": sum"),
             Catch::StartsWith("mine.yaml:2:38: unknown placement 'sum'"));
}

TEST_CASE("a placement that is given twice in a line is refused at the second") {
  CHECK(rules_complaint("w rowwise out=partial out=replicate") == "mine.rules:1:23: out= is given twice");
}

TEST_CASE("a key that is given twice in YAML is refused at the second") {
  CHECK(yaml_rule_complaint("match: w, style: rowwise, style: colwise") ==
        "mine.yaml:2:32: the key 'style' is here twice (first on line 2); keep one of them");
}

TEST_CASE("an unknown key of a rule is answered with the nearest") {
  CHECK(yaml_rule_complaint("match: w, styl: rowwise") == "mine.yaml:2:16: unknown key 'styl'; did you mean 'style'?");
}

TEST_CASE("an unknown key of the plan is answered with the one it has") {
  CHECK(yaml_complaint("rule:\n  - {match: w, style: rowwise}\n") ==
        "mine.yaml:1:1: unknown key 'rule'; did you mean 'rules'?");
}

TEST_CASE("a rule without match is refused at its mapping") {
  CHECK(yaml_rule_complaint("style: rowwise") == "mine.yaml:2:5: the key 'match' is missing; add a line 'match: ...'");
}

TEST_CASE("a rule without a style is refused") {
  CHECK(yaml_rule_complaint("match: w") == "mine.yaml:2:5: the key 'style' is missing; add a line 'style: ...'");
  CHECK(rules_complaint("w1 colwise\n w2  # rowwise") == "mine.rules:2:2: rule 'w2' has no style; " + line_form);
}

TEST_CASE("a broken regular expression has RE2's reason, and the column inside it") {
  CHECK(rules_complaint("w1 colwise\n wo** rowwise") ==
        "mine.rules:2:2: regular expression 'wo**' does not compile (bad repetition operator: **, at its character 3); "
        "see RE2's syntax; a literal dot is written \\.");
  CHECK_THAT(yaml_rule_complaint("style: rowwise, match: 'layers\\.(\\d+'"),
             Catch::StartsWith("mine.yaml:2:22: regular expression 'layers\\.(\\d+' does not compile (missing ): "));
}

TEST_CASE("a regular expression that would take much memory is refused") {
  CHECK_THAT(rules_complaint("\\pL{1000} colwise"), Catch::Contains("pattern too large"));
}

TEST_CASE("a plan of very many rules is refused at the first that is too many") {
  std::string text;
  for (int i = 0; i < 10'001; ++i) text += "w colwise\n";
  CHECK(rules_complaint(text) ==
        "mine.rules:10001:1: the plan has 10001 rules, and 10000 are read; let one regular expression match many "
        "modules");
}

TEST_CASE("a bad escape is found where it stands in the regular expression") {
  CHECK_THAT(rules_complaint("layers\\.\\y rowwise"),
             Catch::Contains("(invalid escape sequence: \\y, at its character 9)"));
}

TEST_CASE("a word that is no part of a rule is refused where it stands") {
  CHECK(rules_complaint("w rowwise shard(seq)") == "mine.rules:1:11: 'shard(seq)' is no part of a rule; " + line_form);
  CHECK(rules_complaint("w rowwise output=partial") ==
        "mine.rules:1:11: 'output=partial' is no part of a rule; " + line_form);
  CHECK(rules_complaint("w rowwise out") == "mine.rules:1:11: 'out' is no part of a rule; " + line_form);
}

TEST_CASE("tabs count as one column each") {
  CHECK_THAT(rules_complaint("w\trowwise\t\tjunk"), Catch::StartsWith("mine.rules:1:12: 'junk'"));
}

TEST_CASE("a plan without rules is refused") {
  const std::string complaint = ": the plan has no rules; see docs/plan-files.md";
  CHECK(rules_complaint("") == "mine.rules" + complaint);
  CHECK(rules_complaint("# nothing but a comment\n\n") == "mine.rules" + complaint);
  CHECK(yaml_complaint("rules: []\n") == "mine.yaml" + complaint);
}

TEST_CASE("rules that are no list of mappings are refused") {
  CHECK_THAT(yaml_complaint("rules:\n  w: rowwise\n"),
             Catch::StartsWith("mine.yaml:1:1: 'rules' is a mapping, not a list of mappings"));
  CHECK_THAT(yaml_complaint("rules:\n  - w rowwise\n"),
             Catch::StartsWith("mine.yaml:2:5: here is 'w rowwise' where a mapping should be"));
}
