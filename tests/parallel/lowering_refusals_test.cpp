// Rules that no module can follow.
#include <catch2/catch.hpp>

#include "parallel/small_model.h"
#include "support/thrown.h"
#include "tpsp/parallel/lowering.h"

using namespace tpsp;
using Catch::Contains;
using Catch::StartsWith;

namespace {

std::string refusal(const std::string& rule_text, int world = 2) {
  return complaint_of([&] { lower(rules(rule_text), small_model(), world); });
}

struct Misfit {
  std::string module;
  std::string style;
  std::string kind;
};

}  // namespace

TEST_CASE("a style that does not fit the kind of module is refused") {
  const auto misfit = GENERATE(
      Misfit{"norm", "colwise", "norm"}, Misfit{"norm", "rowwise", "norm"}, Misfit{"norm", "prepare_input", "norm"},
      Misfit{"output", "prepare_input", "linear"}, Misfit{"tok_embeddings", "sequence", "embedding"},
      Misfit{"tok_embeddings", "prepare_input", "embedding"}, Misfit{"layers.0.attention", "colwise", "container"},
      Misfit{"layers.0.attention", "rowwise", "container"}, Misfit{"layers.0.attention", "sequence", "container"},
      Misfit{"layers.0.attention", "replicate", "container"});
  CHECK(refusal(misfit.module + " " + misfit.style) ==
        "mine.rules:1:1: " + misfit.module + ": the style does not fit a module that is a " + misfit.kind + " (rule '" +
            misfit.module + "' " + misfit.style + "); make the pattern narrower; the whole name has to match");
}

TEST_CASE("a want= that a style does not compute from is refused, with the one it does") {
  CHECK(
      refusal("output colwise want=shard(seq)") ==
      "mine.rules:1:1: output: want=shard(seq) is not what this style computes from (rule 'output' colwise); leave it "
      "out, or write want=replicate");
  CHECK_THAT(refusal("output rowwise want=replicate"), Contains("write want=shard(feature)"));
  CHECK_THAT(refusal("norm sequence want=replicate"), Contains("write want=shard(seq)"));
  CHECK_THAT(refusal("norm replicate want=shard(seq)"), Contains("write want=replicate"));
}

TEST_CASE("an embedding has no want=, for token ids are replicated") {
  CHECK_THAT(refusal("tok_embeddings rowwise want=replicate"),
             Contains("want=replicate is not what this style computes from") &&
                 Contains("leave it out: token ids are replicated"));
}

TEST_CASE("a container can not want a partial sum") {
  CHECK_THAT(refusal(R"(layers\.0\.attention prepare_input want=partial)"),
             StartsWith("mine.rules:1:1: layers.0.attention: an input can not be wanted partial"));
}

TEST_CASE("a container has no out=") {
  CHECK(refusal(R"(layers\.0\.attention prepare_input out=replicate)") ==
        "mine.rules:1:1: layers.0.attention: prepare_input has no out= (rule 'layers\\.0\\.attention' prepare_input); "
        "give out= to its last child");
}

TEST_CASE("only a row-wise module may stay a partial sum") {
  CHECK(refusal("output colwise out=partial") ==
        "mine.rules:1:1: output: out=partial, and the result is shard(feature) (rule 'output' colwise); only rowwise "
        "leaves a partial sum");
  CHECK_THAT(refusal("norm sequence out=partial"), Contains("the result is shard(seq)"));
  CHECK_THAT(refusal("norm replicate out=partial"), Contains("the result is replicate"));
}

TEST_CASE("heads that do not divide are named with the sizes that would do") {
  CHECK(refusal(R"(layers\.\d+\.attention\.wq colwise)", 4) ==
        "mine.rules:1:1: layers.0.attention.wq: 6 heads do not divide over 4 ranks (rule "
        "'layers\\.\\d+\\.attention\\.wq' colwise); use a world size of 1, 2, 3, 6, or replicate the module with the "
        "style replicate");
}

TEST_CASE("heads are counted, not their elements") {
  // kv heads: 2 of them, 8 elements, which 4 ranks would divide.
  CHECK_THAT(refusal(R"(layers\.\d+\.attention\.wk colwise)", 4),
             Contains("2 kv heads do not divide over 4 ranks") && Contains("use a world size of 1, 2,"));
}

TEST_CASE("the dimension that is named is the one the style shards") {
  CHECK_THAT(refusal(R"(layers\.0\.attention\.wo rowwise)", 4), Contains("6 heads do not divide over 4 ranks"));
  CHECK_THAT(refusal(R"(layers\.0\.attention\.wo colwise)", 5), Contains("24 hidden do not divide over 5 ranks"));
  CHECK_THAT(refusal("tok_embeddings colwise", 5), Contains("24 hidden do not divide over 5 ranks"));
}

TEST_CASE("a replicated weight fits any number of ranks") {
  CHECK_NOTHROW(lower(rules("layers\\..*\\.w.* replicate\n.*norm sequence"), small_model(), 5));
}
