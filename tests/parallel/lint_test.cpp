// What a plan's author should know although the plan can be followed.
#include <catch2/catch.hpp>

#include "parallel/small_model.h"
#include "support/thrown.h"
#include "tpsp/parallel/lowering.h"

using namespace tpsp;
using Catch::Contains;

namespace {

// Touches every module with weights, so that nothing but what a test adds is found.
const std::string all_replicated = ".*norm|.*\\.w.|output|tok_embeddings replicate\n";

std::vector<std::string> findings_of(const std::string& rule_text, Severity severity) {
  std::vector<std::string> texts;
  for (const auto& finding : lower(rules(rule_text), small_model(), 2).findings) {
    if (finding.severity == severity) texts.push_back(finding.text);
  }
  return texts;
}

std::vector<std::string> errors_of(const std::string& rule_text) { return findings_of(rule_text, Severity::error); }
std::vector<std::string> warnings_of(const std::string& rule_text) { return findings_of(rule_text, Severity::warning); }

}  // namespace

TEST_CASE("a plan that touches every weight once has no findings") {
  CHECK(errors_of(all_replicated).empty());
  CHECK(warnings_of(all_replicated).empty());
}

TEST_CASE("a rule that matches nothing is an error, with the nearest name as a regular expression for all layers") {
  CHECK(errors_of(all_replicated + R"(layers\.\d+\.atention\.wo rowwise)") ==
        std::vector<std::string>{
            R"(mine.rules:2:1: rule 'layers\.\d+\.atention\.wo' matches no module (the whole name has to match, and )"
            R"(names look like layers.0.attention.wo); did you mean 'layers\.\d+\.attention\.wo'?)"});
}

TEST_CASE("the suggestion for a mistyped norm keeps the underscore as it is") {
  CHECK_THAT(errors_of(all_replicated + R"(layers\.\d+\.atention_norm sequence)").at(0),
             Contains(R"(did you mean 'layers\.\d+\.attention_norm'?)"));
}

TEST_CASE("a pattern that matches only a part of names is unused") {
  CHECK_THAT(errors_of(all_replicated + "attention rowwise").at(0), Contains("rule 'attention' matches no module"));
}

TEST_CASE("an unused rule that is near to no name shows what names look like") {
  CHECK(errors_of(all_replicated + "transformer rowwise") ==
        std::vector<std::string>{"mine.rules:2:1: rule 'transformer' matches no module (the whole name has to match, "
                                 "and names look like output); correct or remove the rule"});
}

TEST_CASE("unused rules are refused, unless they are allowed") {
  const auto plan = lower(rules(all_replicated + "outptu colwise"), small_model(), 2);
  CHECK(complaint_of([&] { refuse_unused_rules(plan, false); }) == plan.findings.at(0).text);
  CHECK_NOTHROW(refuse_unused_rules(plan, true));
}

TEST_CASE("all unused rules are refused together") {
  const auto plan = lower(rules(all_replicated + "outptu colwise\nnrom sequence"), small_model(), 2);
  const auto complaint = complaint_of([&] { refuse_unused_rules(plan, false); });
  CHECK_THAT(complaint, Contains("mine.rules:2:1: rule 'outptu'") && Contains("mine.rules:3:1: rule 'nrom'"));
}

TEST_CASE("warnings alone are not refused") {
  CHECK_NOTHROW(refuse_unused_rules(lower(rules("output colwise"), small_model(), 2), false));
}

TEST_CASE("a module with weights that no rule touches is a warning") {
  CHECK(warnings_of(".*norm|.*\\.w.|tok_embeddings replicate") ==
        std::vector<std::string>{"mine.rules: no rule touches output (its weight and its work are replicated on every "
                                 "rank); say so with the style replicate, or give it another"});
}

TEST_CASE("untouched modules are one warning for each kind, which counts the layers") {
  const auto warnings = warnings_of(R"(output|tok_embeddings|norm|.*\.w[123oqk]|.*_norm replicate)");
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings.front(), Contains("no rule touches layers.0.attention.wv (and 1 more)"));
  CHECK(warnings_of("norm replicate").size() == 11);
}

TEST_CASE("a rule that a later one overrules is a warning that names both") {
  const auto warnings = warnings_of(all_replicated + R"(layers\.\d+\.attention\.wo rowwise)");
  REQUIRE(warnings.size() == 1);
  CHECK(warnings.front() ==
        R"(mine.rules:1:1: rule '.*norm|.*\.w.|output|tok_embeddings' is overruled for layers.0.attention.wo )"
        R"((and 1 more) (rule 'layers\.\d+\.attention\.wo' at mine.rules:2:1 matches too, )"
        R"(and the last match wins))");
}

TEST_CASE("a rule that is overruled everywhere is a warning, not an unused rule") {
  const auto text = all_replicated + all_replicated;
  CHECK(errors_of(text).empty());
  CHECK(warnings_of(text).size() == 1);
}

TEST_CASE("of three matching rules both losers get a warning that names the winner") {
  const auto warnings = warnings_of(all_replicated + "output colwise\noutput rowwise");
  REQUIRE(warnings.size() == 2);
  CHECK_THAT(warnings[0], Contains("mine.rules:1:1: ") && Contains("at mine.rules:3:1 matches too"));
  CHECK_THAT(warnings[1], Contains("mine.rules:2:1: ") && Contains("at mine.rules:3:1 matches too"));
}

TEST_CASE("an input that every reader gathers for itself is a warning, once for all layers") {
  CHECK(warnings_of(all_replicated + R"(layers\.\d+\.attention prepare_input want=shard(seq))") ==
        std::vector<std::string>{"mine.rules:2:1: layers.0.attention: its input is gathered 3 times (it is brought to "
                                 "shard(seq), and 3 of its readers want it replicated); write want=replicate: one "
                                 "all-gather serves them all"});
}

TEST_CASE("an input that one all-gather serves is no warning") {
  CHECK(warnings_of(all_replicated + R"(layers\.\d+\.attention prepare_input want=replicate)").empty());
}
