// The two written forms of a plan, and the names that --plan takes.
#include <catch2/catch.hpp>

#include "parallel/small_model.h"
#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "tpsp/core/files.h"
#include "tpsp/parallel/plan.h"

using namespace tpsp;

namespace {

std::string text_of(const Rule& rule) {
  return rule.pattern + " " + std::string(to_string(rule.style)) + " in=" + text_of(rule.in) +
         " want=" + text_of(rule.want) + " out=" + text_of(rule.out);
}

std::vector<std::string> texts_of(const Plan& plan) {
  std::vector<std::string> texts;
  for (const auto& rule : plan.rules) texts.push_back(text_of(rule));
  return texts;
}

std::vector<std::string> places_of(const Plan& plan) {
  std::vector<std::string> places;
  for (const auto& rule : plan.rules) places.push_back(rule.where);
  return places;
}

Plan yaml(const std::string& text) { return parse_plan("mine", "mine.yaml", text); }

}  // namespace

TEST_CASE("a built-in plan is the same in YAML and in one-line rules") {
  const std::string name = GENERATE("tp", "tp+sp");
  CHECK(texts_of(load_plan(name)) == texts_of(load_plan(name + ".rules")));
}

TEST_CASE("a rule has a pattern, a style and up to three placements, in either form") {
  const std::vector<std::string> expected{R"(layers\.\d+\.ffn prepare_input in=shard(seq) want=replicate out=-)",
                                          "w2 rowwise in=- want=- out=partial"};
  CHECK(texts_of(rules("layers\\.\\d+\\.ffn prepare_input in=shard(seq) want=replicate\nw2 rowwise out=partial\n")) ==
        expected);
  CHECK(texts_of(yaml("rules:\n"
                      "  - {match: 'layers\\.\\d+\\.ffn', style: prepare_input, in: shard(seq), want: replicate}\n"
                      "  - match: w2\n"
                      "    style: rowwise\n"
                      "    out: partial\n")) == expected);
}

TEST_CASE("the placements of a one-line rule stand in any order") {
  CHECK(texts_of(rules("w prepare_input want=replicate in=shard(0)")) ==
        texts_of(rules("w prepare_input in=shard(seq) want=replicate")));
}

TEST_CASE("every style is read by its name") {
  const std::string name = GENERATE("colwise", "rowwise", "sequence", "prepare_input", "replicate");
  CHECK(to_string(rules("w " + name).rules.at(0).style) == name);
  CHECK(to_string(parse_style(name).value()) == name);
}

TEST_CASE("one-line rules may have comments, blank lines and a '#' inside a regular expression") {
  CHECK(texts_of(rules("# a plan\n"
                       "\n"
                       "   \t \n"
                       "w#1  colwise   # the first\n"
                       "  w2 rowwise #out=partial\n")) ==
        std::vector<std::string>{"w#1 colwise in=- want=- out=-", "w2 rowwise in=- want=- out=-"});
}

TEST_CASE("lines may end as on Windows") {
  CHECK(texts_of(rules("w1 colwise\r\nw2 rowwise out=partial\r\n\r\n")) ==
        texts_of(rules("w1 colwise\nw2 rowwise out=partial\n")));
  CHECK(texts_of(yaml("rules:\r\n  - {match: w1, style: colwise}\r\n")) == texts_of(rules("w1 colwise")));
}

TEST_CASE("the last line needs no line feed") { CHECK(rules("w1 colwise\nw2 rowwise").rules.size() == 2); }

TEST_CASE("a one-line rule knows its line and the column of its pattern") {
  CHECK(places_of(rules("# a comment\nw1 colwise\n\n    w2 rowwise\n")) ==
        std::vector<std::string>{"mine.rules:2:1", "mine.rules:4:5"});
}

TEST_CASE("a YAML rule knows its line and the column of its mapping") {
  CHECK(places_of(yaml("rules:\n  - {match: w1, style: colwise}\n  -   match: w2\n      style: rowwise\n")) ==
        std::vector<std::string>{"mine.yaml:2:5", "mine.yaml:3:7"});
}

TEST_CASE("built-in plans go by name, with and without .yaml") {
  for (const std::string name : {"tp", "tp+sp", "tp.rules", "tp+sp.rules"}) {
    CHECK(load_plan(name).name == name);
  }
  CHECK(load_plan("tp.yaml").name == "tp");
}

TEST_CASE("a built-in plan's rules say that they are built in") {
  CHECK(load_plan("tp").source == "<built-in>/plans/tp.yaml");
  CHECK(load_plan("tp.rules").rules.at(0).where == "<built-in>/plans/tp.rules:2:1");
}

TEST_CASE("a plan's file is named after the file, its rules after the path") {
  const TemporaryFolder folder;
  const auto path = (folder / "mine.yaml").string();
  write_file(path, "rules:\n  - {match: w1, style: colwise}\n");
  const auto plan = load_plan(path);
  CHECK(plan.name == "mine");
  CHECK(plan.rules.at(0).where == path + ":2:5");
}

TEST_CASE("a file that ends in .rules is read line by line and keeps its ending in the name") {
  const TemporaryFolder folder;
  write_file(folder / "mine.rules", "w1 colwise\n");
  const auto plan = load_plan((folder / "mine.rules").string());
  CHECK(plan.name == "mine.rules");
  CHECK(texts_of(plan) == std::vector<std::string>{"w1 colwise in=- want=- out=-"});
}

TEST_CASE("an unknown plan is answered with the nearest built-in one") {
  CHECK(complaint_of([] { load_plan("tp-sp"); }) ==
        "--plan 'tp-sp': no built-in plan and no file is called that; did you mean 'tp+sp'?");
}

TEST_CASE("a plan that is near to none is answered with the choices") {
  CHECK_THAT(complaint_of([] { load_plan("pipeline"); }), Catch::Contains("the choices are ") &&
                                                              Catch::Contains("tp, tp+sp, tp+sp.rules") &&
                                                              Catch::EndsWith("tp.rules"));
}
