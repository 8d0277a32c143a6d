#include "tpsp/core/text.h"

#include <catch2/catch.hpp>

using namespace tpsp;

TEST_CASE("the nearest candidate has the smallest edit distance") {
  const std::vector<std::string> plans = {"serial", "tp", "tp+sp"};
  CHECK(nearest("tpp", plans) == "tp");
  CHECK(nearest("tp-sp", plans) == "tp+sp");
  CHECK(nearest("seriel", plans) == "serial");
}

TEST_CASE("a name far from every candidate has no nearest one") {
  const std::vector<std::string> plans = {"serial", "tp"};
  CHECK_FALSE(nearest("pipeline", plans).has_value());
  CHECK_FALSE(nearest("xy", plans).has_value());
  CHECK_FALSE(nearest(std::string(1'000'000, 't'), plans).has_value());
}

TEST_CASE("a suggestion names the near candidate and else all of them") {
  const std::vector<std::string> devices = {"cpu", "cuda"};
  CHECK(suggest("cud", devices) == "did you mean 'cuda'?");
  CHECK(suggest("accelerator", devices) == "the choices are cpu, cuda");
  CHECK(suggest("anything", {}).empty());
}

TEST_CASE("a quote shows control characters as escapes") {
  CHECK(quote("tp") == "'tp'");
  CHECK(quote("a\nb\x1b[31m") == "'a\\nb\\x1b[31m'");
}

TEST_CASE("a quote of a long text is truncated between two characters") {
  const std::string text = std::string(59, 'a') + "é and more";  // the 60th byte is the first half of é
  CHECK(quote(text) == "'" + std::string(59, 'a') + "…'");
}

TEST_CASE("bytes that are no UTF-8 are replaced, and characters stay") {
  const std::string replacement = "\xEF\xBF\xBD";
  for (const auto* text : {"", "tp+sp", "é", "€uro", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"}) {
    CHECK(valid_utf8(text) == text);
  }
  CHECK(valid_utf8("a\xFFz") == "a" + replacement + "z");
  CHECK(valid_utf8("caf\xE9") == "caf" + replacement);
  CHECK(valid_utf8("\x80") == replacement);
  CHECK(valid_utf8("\xC3") == replacement);
  for (const auto* two : {"\xC0\x80", "\xC3\xC3"}) CHECK(valid_utf8(two) == replacement + replacement);
  for (const auto* three : {"\xED\xA0\x80", "\xE0\x80\xAF"}) {
    CHECK(valid_utf8(three) == replacement + replacement + replacement);
  }
  CHECK(valid_utf8("\xF4\x90\x80\x80").size() == 4 * replacement.size());
}

TEST_CASE("splitting keeps empty parts and joining undoes it") {
  CHECK(split("a,,b,", ',') == std::vector<std::string>{"a", "", "b", ""});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(join(split("a,,b,", ','), ",") == "a,,b,");
}

TEST_CASE("trimming takes blanks and line ends from both sides only") {
  CHECK(trim(" \ta b\r\n") == "a b");
  CHECK(trim(" \n").empty());
}
