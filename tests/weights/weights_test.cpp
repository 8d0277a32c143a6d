#include "tpsp/weights/weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "tpsp/models/llama.h"

using namespace tpsp;

namespace {

Module module_named(const std::string& name) {
  for (const auto& module : modules_of(load_model("llama-tiny"))) {
    if (module.name == name) return module;
  }
  throw std::invalid_argument(name);
}

/// The shards of `ranks` ranks, concatenated again.
at::Tensor concatenated(const Module& module, int dim, int ranks, const WeightRecipe& recipe) {
  std::vector<at::Tensor> shards;
  for (int rank = 0; rank < ranks; ++rank) {
    shards.push_back(make_weight(module, {.dim = dim, .rank = rank, .ranks = ranks}, recipe));
  }
  return at::cat(shards, dim);
}

const WeightRecipe recipe{.seed = 7};

}  // namespace

TEST_CASE("shards along the rows are bit-equal slices of one weight for 1, 2, 4 and 8 ranks") {
  for (const auto* name : {"layers.1.attention.wq", "layers.0.feed_forward.w1"}) {
    const auto module = module_named(name);
    const auto full = make_weight(module, {}, recipe);
    for (const int ranks : {1, 2, 4, 8}) CHECK(at::equal(concatenated(module, 0, ranks, recipe), full));
  }
}

TEST_CASE("shards along the columns are bit-equal slices of one weight for 1, 2, 4 and 8 ranks") {
  for (const auto* name : {"layers.1.attention.wo", "layers.0.feed_forward.w2", "tok_embeddings"}) {
    const auto module = module_named(name);
    const auto full = make_weight(module, {}, recipe);
    for (const int ranks : {1, 2, 4, 8}) CHECK(at::equal(concatenated(module, 1, ranks, recipe), full));
  }
}

TEST_CASE("a vocabulary that does not divide is padded with zero rows at the end") {
  const auto module = module_named("output");  // 515 rows
  const auto full = make_weight(module, {}, recipe);
  for (const int ranks : {2, 4, 8}) {
    const auto padded = concatenated(module, 0, ranks, recipe);
    CHECK(padded.size(0) == (515 + ranks - 1) / ranks * ranks);
    CHECK(at::equal(padded.narrow(0, 0, 515), full));
    CHECK(padded.narrow(0, 515, padded.size(0) - 515).abs().sum().item<double>() == 0);
  }
}

TEST_CASE("a rank whose whole block lies past the vocabulary has only zeros") {
  Module module = module_named("tok_embeddings");
  module.dims[0].size = 5;
  const auto last = make_weight(module, {.dim = 0, .rank = 3, .ranks = 4}, recipe);
  CHECK(last.sizes() == at::IntArrayRef{2, 96});
  CHECK(last.abs().sum().item<double>() == 0);
}

// The numbers come from the formula of make_weight in NumPy.
TEST_CASE("weights of seed 0 never change") {
  const WeightRecipe seed0{.seed = 0};
  const auto linear = make_weight(module_named("layers.0.attention.wq"), {}, seed0);
  const auto norm = make_weight(module_named("norm"), {}, seed0);
  const auto embedding = make_weight(module_named("tok_embeddings"), {}, seed0);
  const std::array linear_start{0x1.0264bp-3F, -0x1.3a00e8p-3F, 0x1.b44decp-5F, -0x1.2f728cp-3F};
  for (int i = 0; i < 4; ++i) {
    CHECK(linear[0][i].item<float>() == linear_start.at(static_cast<std::size_t>(i)));
  }
  CHECK(norm[0].item<float>() == 0x1.03b412p+0F);
  CHECK(embedding[0][0].item<float>() == -0x1.fe958p-3F);
}

TEST_CASE("another seed gives another weight") {
  const auto module = module_named("layers.0.attention.wq");
  const auto same = at::eq(make_weight(module, {}, {.seed = 1}), make_weight(module, {}, {.seed = 2}));
  CHECK(same.sum().item<std::int64_t>() < 10);
}

TEST_CASE("another name gives another weight") {
  const auto same = at::eq(make_weight(module_named("layers.0.attention.wq"), {}, recipe),
                           make_weight(module_named("layers.1.attention.wq"), {}, recipe));
  CHECK(same.sum().item<std::int64_t>() < 10);
}

TEST_CASE("a bf16 weight is the fp32 weight rounded") {
  const auto module = module_named("layers.0.feed_forward.w2");
  const auto fp32 = make_weight(module, {}, recipe);
  const auto bf16 = make_weight(module, {}, {.seed = recipe.seed, .dtype = at::kBFloat16});
  CHECK(at::equal(bf16, fp32.to(at::kBFloat16)));
}

TEST_CASE("a linear weight has mean 0 and variance one over its fan-in") {
  const auto weight = make_weight(module_named("layers.0.feed_forward.w2"), {}, recipe);  // [96, 256]
  CHECK(std::abs(weight.mean().item<double>()) < 0.002);
  CHECK(weight.var().item<double>() == Approx(1.0 / 256).epsilon(0.03));
}

TEST_CASE("an embedding is uniform between -1 and 1") {
  const auto weight = make_weight(module_named("tok_embeddings"), {}, recipe);
  CHECK(weight.min().item<double>() >= -1);
  CHECK(weight.max().item<double>() < 1);
  CHECK(weight.var().item<double>() == Approx(1.0 / 3).epsilon(0.03));
}

TEST_CASE("a norm weight is near 1 and not all alike") {
  const auto weight = make_weight(module_named("norm"), {}, recipe);
  CHECK((weight - 1).abs().max().item<double>() <= 0.125);
  CHECK(weight.std().item<double>() > 0.03);
}

TEST_CASE("a weight does not depend on the number of threads that make it") {
  const auto module = module_named("output");
  at::set_num_threads(2);
  const auto by_two = make_weight(module, {}, recipe);
  at::set_num_threads(1);
  CHECK(at::equal(by_two, make_weight(module, {}, recipe)));
}

TEST_CASE("a weight on the meta device has the shape of the block and no bytes") {
  const auto weight = make_weight(module_named("output"), {.dim = 0, .rank = 1, .ranks = 2}, {.device = at::kMeta});
  CHECK(weight.sizes() == at::IntArrayRef{258, 96});
  CHECK(weight.is_meta());
}

TEST_CASE("tokens lie in the vocabulary and use most of it") {
  const auto tokens = make_tokens(3, 4, 1000, 50);
  CHECK(tokens.sizes() == at::IntArrayRef{4, 1000});
  CHECK(tokens.scalar_type() == at::kLong);
  CHECK(tokens.min().item<std::int64_t>() == 0);
  CHECK(tokens.max().item<std::int64_t>() == 49);
}

TEST_CASE("tokens are the same for the same seed and differ for another") {
  CHECK(at::equal(make_tokens(3, 2, 64, 32000), make_tokens(3, 2, 64, 32000)));
  CHECK_FALSE(at::equal(make_tokens(3, 2, 64, 32000), make_tokens(4, 2, 64, 32000)));
}

TEST_CASE("one rank's resident weights are parameters times the element size") {
  const auto config = load_model("llama-tiny");
  const auto plan = lower({.name = "none", .source = "none", .rules = {}}, modules_of(config), 1);
  CHECK(ResidentWeights(plan, 0, recipe).bytes() == 4 * Llama(config).parameters());
  CHECK(ResidentWeights(plan, 0, {.dtype = at::kBFloat16}).bytes() == 2 * Llama(config).parameters());
}
