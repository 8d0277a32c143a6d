#include "tpsp/models/llama.h"

#include <catch2/catch.hpp>

#include "support/thrown.h"

using namespace tpsp;
using Catch::Contains;

namespace {

LlamaConfig parse(const std::string& text) { return parse_model("mine", "mine.yaml", text); }

std::string parse_complaint(const std::string& text) {
  return complaint_of([&] { parse(text); });
}

}  // namespace

TEST_CASE("llama-7b has the published number of parameters") {
  CHECK(Llama(load_model("llama-7b")).parameters() == 6'738'415'616);
}

TEST_CASE("the other models have the parameters that their files state") {
  CHECK(Llama(load_model("llama-13b")).parameters() == 13'015'864'320);
  CHECK(Llama(load_model("llama-3-8b")).parameters() == 8'030'261'248);
  CHECK(Llama(load_model("llama-70b")).parameters() == 68'976'648'192);
}

TEST_CASE("the number of parameters is the closed formula's") {
  for (const auto* name : {"llama-tiny", "llama-3-8b"}) {
    const auto config = load_model(name);
    const auto kv = config.kv_heads * config.head_dim();
    const auto block = 2 * config.hidden * config.hidden + 2 * config.hidden * kv + 3 * config.hidden * config.ffn;
    CHECK(Llama(config).parameters() ==
          config.layers * block + 2 * config.hidden * config.vocabulary + (2 * config.layers + 1) * config.hidden);
  }
}

TEST_CASE("a model without ffn has 8/3 of hidden, rounded up to 256, as Foundation Model Stack derives it") {
  CHECK(parse("{hidden: 4096, layers: 32, heads: 32, vocabulary: 32000}").ffn == 11008);
  CHECK(parse("{hidden: 5120, layers: 40, heads: 40, vocabulary: 32000}").ffn == 13824);
}

TEST_CASE("ffn_growth and ffn_multiple_of change the derived ffn") {
  const auto text = "{hidden: 8192, layers: 80, heads: 64, vocabulary: 32000, ffn_growth: 3.5, ffn_multiple_of: 4096}";
  CHECK(parse(text).ffn == 28672);
}

TEST_CASE("a derived ffn is never zero") {
  CHECK(parse("{hidden: 64, layers: 1, heads: 4, vocabulary: 10, ffn_growth: 0.001}").ffn == 256);
}

TEST_CASE("optional keys have LLaMA's values") {
  const auto config = parse("{hidden: 64, layers: 1, heads: 4, vocabulary: 10}");
  CHECK(config.kv_heads == 4);
  CHECK(config.norm_eps == 1e-5);
  CHECK(config.rope_theta == 10000);
  CHECK(config.name == "mine");
}

TEST_CASE("an unknown key of a model is refused with its place and the nearest key") {
  CHECK(parse_complaint("hidden: 64\nlayer: 2\n") == "mine.yaml:2:1: unknown key 'layer'; did you mean 'layers'?");
}

TEST_CASE("a size that is no integer is refused with its place") {
  CHECK_THAT(parse_complaint("hidden: 64\nlayers: two\nheads: 4\nvocabulary: 10\n"),
             Contains("mine.yaml:2:") && Contains("layers") && Contains("two"));
}

TEST_CASE("a size of zero is refused with its range") {
  CHECK_THAT(parse_complaint("hidden: 64\nlayers: 0\nheads: 4\nvocabulary: 10\n"),
             Contains("mine.yaml:2:") && Contains("1000"));
}

TEST_CASE("a missing size is named") {
  CHECK_THAT(parse_complaint("hidden: 64\nlayers: 2\nheads: 4\n"), Contains("'vocabulary' is missing"));
}

TEST_CASE("heads that do not divide the hidden size are refused") {
  CHECK(parse_complaint("hidden: 64\nlayers: 2\nheads: 5\nvocabulary: 10\n") ==
        "mine.yaml:3:1: 5 heads do not divide hidden size 64; correct one of the two");
}

TEST_CASE("kv heads that do not divide the heads are refused") {
  CHECK(parse_complaint("hidden: 64\nlayers: 2\nheads: 8\nkv_heads: 3\nvocabulary: 10\n") ==
        "mine.yaml:4:1: 3 kv heads do not divide 8 heads; correct one of the two");
}

TEST_CASE("a head with an odd number of elements is refused, for rotary positions turn pairs") {
  CHECK_THAT(parse_complaint("hidden: 12\nlayers: 2\nheads: 4\nvocabulary: 10\n"),
             Contains("mine.yaml:3:1: a head of 3 elements is odd"));
}

TEST_CASE("an ffn that is given and derived at once is refused") {
  CHECK_THAT(parse_complaint("hidden: 64\nlayers: 2\nheads: 4\nvocabulary: 10\nffn: 256\nffn_growth: 3\n"),
             Contains("mine.yaml:5:1: ffn is given and derived at once"));
}

TEST_CASE("a model name that no file has is refused with the nearest one") {
  CHECK_THAT(complaint_of([] { load_model("lama-7b"); }), Contains("llama-7b"));
}

TEST_CASE("modules come in forward order, containers before their children") {
  auto config = load_model("llama-tiny");
  config.layers = 1;
  std::vector<std::string> names;
  for (const auto& module : modules_of(config)) names.push_back(module.name);
  CHECK(names == std::vector<std::string>{"tok_embeddings", "layers.0.attention_norm", "layers.0.attention",
                                          "layers.0.attention.wq", "layers.0.attention.wk", "layers.0.attention.wv",
                                          "layers.0.attention.wo", "layers.0.ffn_norm", "layers.0.feed_forward",
                                          "layers.0.feed_forward.w1", "layers.0.feed_forward.w3",
                                          "layers.0.feed_forward.w2", "norm", "output"});
}

TEST_CASE("every layer has eleven modules of its own number") {
  const auto modules = modules_of(load_model("llama-70b"));
  REQUIRE(modules.size() == 80 * 11 + 3);
  CHECK(modules[1 + 11 * 79].name == "layers.79.attention_norm");
}

TEST_CASE("a container names the modules that read its input") {
  const auto modules = modules_of(load_model("llama-tiny"));
  CHECK(modules[2].entries ==
        std::vector<std::string>{"layers.0.attention.wq", "layers.0.attention.wk", "layers.0.attention.wv"});
}

TEST_CASE("key weights are sharded by kv heads") {
  const auto key = modules_of(load_model("llama-70b"))[4];
  REQUIRE(key.name == "layers.0.attention.wk");
  CHECK(key.dims[0].size == 1024);
  CHECK(key.dims[0].units == 8);
}
