#include "tpsp/core/yaml.h"

#include <catch2/catch.hpp>

#include "support/thrown.h"

using namespace tpsp;
using Catch::Contains;

namespace {

YamlMap parse(const std::string& text) { return YamlMap::parse(text, "mine.yaml"); }

std::string parse_complaint(const std::string& text) {
  return complaint_of([&] { parse(text); });
}

/// What reading the key 'n' of "n: <value>" as an integer from 1 to 100 says.
std::string integer_complaint(const std::string& value) {
  return complaint_of([&] { parse("n: " + value).integer("n", 1, 100); });
}

}  // namespace

TEST_CASE("values of every type are read") {
  const YamlMap map = parse("name: my plan\nreps: 20\ntolerance: 1.5e-3\ncheck: true\n");
  CHECK(map.text("name") == "my plan");
  CHECK(map.integer("reps", 1, 100) == 20);
  CHECK(map.real("tolerance", 0, 1) == 1.5e-3);
  CHECK(map.keys() == std::vector<std::string>{"name", "reps", "tolerance", "check"});
  CHECK(map.has("reps"));
  CHECK_FALSE(map.has("rep"));
}

TEST_CASE("text that is no YAML is refused with place and reason") {
  CHECK_THAT(parse_complaint("a: 1\nb: [1, 2\nc: 3\n"),
             Contains("mine.yaml:") && Contains(": not valid YAML (") && Contains("end of sequence"));
}

TEST_CASE("a key that stands twice is refused with both lines") {
  CHECK(parse_complaint("seq: 1\nplan: tp\nseq: 2\n") ==
        "mine.yaml:3:1: the key 'seq' is here twice (first on line 1); keep one of them");
}

TEST_CASE("an unknown key is refused with its place and the nearest known key") {
  const YamlMap map = parse("plan: tp\nsequ: 256\n");
  CHECK(complaint_of([&] {
          map.allow_only({"plan", "seq"});
        }) == "mine.yaml:2:1: unknown key 'sequ'; did you mean 'seq'?");
  CHECK_NOTHROW(map.allow_only({"plan", "sequ"}));
}

TEST_CASE("a missing key is named with a line to add") {
  CHECK(complaint_of([] { parse("plan: tp\n").text("model"); }) ==
        "mine.yaml:1:1: the key 'model' is missing; add a line 'model: ...'");
}

TEST_CASE("anchors are refused where they stand") {
  CHECK_THAT(parse_complaint("plan: tp\nbase: &b 1\n"),
             Contains("mine.yaml:2:7: anchors and aliases (& and *) are not read"));
}

TEST_CASE("aliases that would build a cycle or a billion laughs are refused") {
  CHECK_THAT(parse_complaint("a: &a [*a]\n"), Contains("anchors and aliases"));
  CHECK_THAT(parse_complaint("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), Contains("anchors and aliases"));
  CHECK_THAT(parse_complaint("a: *nowhere\n"), Contains("mine.yaml:1:"));
}

TEST_CASE("tags are refused") {
  CHECK_THAT(parse_complaint("a: !!python/object x\n"), Contains("the tag ") && Contains("is not read; leave it out"));
}

TEST_CASE("nesting over sixteen deep is refused before it is built") {
  CHECK_NOTHROW(parse("a: " + std::string(15, '[') + std::string(15, ']')));
  CHECK_THAT(parse_complaint("a: " + std::string(16, '[') + std::string(16, ']')), Contains("nested over 16 deep"));
  CHECK_THAT(parse_complaint("a: " + std::string(500'000, '[')), Contains("nested over 16 deep"));
}

TEST_CASE("a second document is refused") {
  CHECK_THAT(parse_complaint("a: 1\n---\nb: 2\n"), Contains("a second document begins here"));
}

TEST_CASE("an empty document is refused") {
  CHECK(parse_complaint("") == "mine.yaml: the document is empty; write lines of 'key: value'");
  CHECK_THAT(parse_complaint("# only a comment\n"), Contains("the document is empty"));
}

TEST_CASE("a document that is no mapping is refused") {
  CHECK(parse_complaint("- a\n- b\n") ==
        "mine.yaml:1:1: here is a list where a mapping should be; write lines of 'key: value'");
  CHECK_THAT(parse_complaint("tp"), Contains("here is 'tp' where a mapping should be"));
}

TEST_CASE("a text over one mebibyte is refused") {
  CHECK_THAT(parse_complaint("a: " + std::string(1 << 20, 'x')), Contains("the text is too long (1048579 bytes"));
}

TEST_CASE("a key that is no word is refused") {
  CHECK_THAT(parse_complaint("[a, b]: 1\n"), Contains("a key is a list"));
  CHECK_THAT(parse_complaint("~: 1\n"), Contains("a key is nothing"));
}

TEST_CASE("an integer in a file is decimal digits only") {
  CHECK(integer_complaint("1e3") ==
        "mine.yaml:1:1: n: '1e3' is not an integer; write decimal digits, a number from 1 to 100");
  CHECK_THAT(integer_complaint("0x10"), Contains("'0x10' is not an integer"));
  CHECK_THAT(integer_complaint("~"), Contains("'n' is nothing, not an integer"));
  CHECK_THAT(integer_complaint("[1]"), Contains("'n' is a list, not an integer"));
  CHECK_THAT(integer_complaint("101"), Contains("'101' is out of range; give a number from 1 to 100"));
}

TEST_CASE("a quoted number is text and no integer") {
  CHECK_THAT(integer_complaint("\"5\""), Contains("'n' is the quoted text '5', not an integer"));
  CHECK(parse("n: \"5\"").text("n") == "5");
}

TEST_CASE("a real number must be finite and in its range") {
  const auto complaint = [](const std::string& value) {
    return complaint_of([&] { parse("x: " + value).real("x", 0, 1); });
  };
  CHECK(complaint("2") == "mine.yaml:1:1: 'x' is '2', which is out of range; give a number from 0 to 1");
  CHECK_THAT(complaint("inf"), Contains("not a number"));
  CHECK_THAT(complaint("nan"), Contains("not a number"));
  CHECK_THAT(complaint("0.5x"), Contains("not a number"));
  CHECK_THAT(complaint("'0.5'"), Contains("the quoted text '0.5', not a number"));
}

TEST_CASE("a list of mappings gives each mapping its own place") {
  const auto rules = parse("rules:\n  - module: wq\n    style: colwise\n  - module: wo\n").maps("rules");
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].text("style") == "colwise");
  CHECK(rules[1].where() == "mine.yaml:4:5");
  CHECK(rules[0].where("style") == "mine.yaml:3:5");
}

TEST_CASE("a list with something other than mappings is refused at that item") {
  const YamlMap map = parse("rules:\n  - module: wq\n  - wo\n");
  CHECK_THAT(complaint_of([&] { map.maps("rules"); }), Contains("mine.yaml:3:5: here is 'wo' where a mapping"));
  CHECK_THAT(complaint_of([] { parse("rules: wq").maps("rules"); }),
             Contains("'rules' is 'wq', not a list of mappings"));
}

TEST_CASE("a scalar or a list of scalars reads as an option's text") {
  CHECK(parse("seq: 256..4096*2").scalar_or_list("seq") == "256..4096*2");
  CHECK(parse("seq: [256, 512]").scalar_or_list("seq") == "256,512");
  CHECK_THAT(complaint_of([] { parse("seq: []").scalar_or_list("seq"); }), Contains("neither a value nor a list"));
  CHECK_THAT(complaint_of([] { parse("seq: [[1]]").scalar_or_list("seq"); }), Contains("neither a value nor a list"));
  CHECK_THAT(complaint_of([] { parse("seq:").scalar_or_list("seq"); }), Contains("neither a value nor a list"));
}

TEST_CASE("bytes that are no text are refused or read and never crash") {
  std::string bytes;
  for (int i = 255; i >= 0; --i) bytes += static_cast<char>(i);
  CHECK_THAT(parse_complaint(bytes), Contains("mine.yaml"));
}
