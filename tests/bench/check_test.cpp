#include "tpsp/bench/check.h"

#include <cmath>
#include <limits>

#include "support/forward_on_ranks.h"
#include "support/thrown.h"

using namespace tpsp;

namespace {

const WeightRecipe recipe{.seed = test_seed};

/// What a reference says, on each rank, of the logits that each rank holds.
std::vector<LogitsError> errors_of(const at::Tensor& tokens, const std::vector<at::Tensor>& logits) {
  std::vector<LogitsError> errors(logits.size());
  on_ranks(static_cast<int>(logits.size()), [&](World& ranks, ProcessGroup&) {
    const auto rank = static_cast<std::size_t>(ranks.rank());
    const Reference reference(Llama(load_model("llama-tiny")), recipe, tokens, ranks);
    errors[rank] = reference.error(logits[rank], ranks);
  });
  return errors;
}

std::vector<LogitsError> errors_of(const at::Tensor& tokens, const at::Tensor& logits, int world) {
  return errors_of(tokens, std::vector<at::Tensor>(static_cast<std::size_t>(world), logits));
}

at::Tensor some_tokens(std::int64_t batch) { return make_tokens(5, batch, 7, 515); }
at::Tensor right_logits(std::int64_t batch) {
  return forward_on_ranks(load_model("llama-tiny"), load_plan("tp+sp"), 2, some_tokens(batch)).front().logits.clone();
}

}  // namespace

TEST_CASE("the reference agrees with a correct plan") {
  CHECK(errors_of(some_tokens(2), right_logits(2), 2).front().max_rel < 1e-5);
}

TEST_CASE("the reference has the logits of the unsharded forward, in both dtypes and with settings of its own") {
  const auto config = parse_model("mine", "mine.yaml",
                                  "{hidden: 64, layers: 3, heads: 4, kv_heads: 1, ffn: 96, vocabulary: 77, rope_theta: "
                                  "500000, norm_eps: 0.001}");
  const auto tokens = make_tokens(9, 3, 33, config.vocabulary);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto logits = Llama(config).reference_logits({.seed = test_seed, .dtype = dtype}, tokens).to(at::kFloat);
    CHECK(relative_error(logits, unsharded_logits(config, tokens, dtype)) < error_bound(Llama(config), 33, 1, dtype));
  }
}

TEST_CASE("logits of other sizes than the reference's are an internal error") {
  on_ranks(1, [&](World& ranks, ProcessGroup&) {
    const Reference reference(Llama(load_model("llama-tiny")), recipe, some_tokens(2), ranks);
    CHECK_THAT(defect_of([&] { reference.error(at::zeros({2, 7, 516}), ranks); }), Catch::Contains("[2, 7, 516]"));
  });
}

TEST_CASE("a batch smaller than the ranks leaves some ranks without a part") {
  CHECK(errors_of(some_tokens(1), right_logits(1), 4).front().max_rel < 1e-5);
}

TEST_CASE("a batch that does not divide over the ranks is compared in full") {
  for (std::int64_t row = 0; row < 3; ++row) {
    auto logits = right_logits(3);
    logits[row][6][514] += 1;
    CHECK(errors_of(some_tokens(3), logits, 2).front().max_abs == Approx(1).epsilon(1e-3));
  }
}

TEST_CASE("one wrong number in one rank's copy of another rank's sequence is an error on every rank") {
  for (const std::int64_t batch : {1, 2, 3}) {
    for (std::size_t rank = 0; rank < 4; ++rank) {
      for (std::int64_t sequence = 0; sequence < batch; ++sequence) {
        std::vector<at::Tensor> logits(4, right_logits(batch));
        logits[rank] = logits[rank].clone();
        logits[rank][sequence][6][514] += 2;
        for (const auto& error : errors_of(some_tokens(batch), logits)) {
          CHECK(error.max_abs == Approx(2).epsilon(1e-3));
        }
      }
    }
  }
}

TEST_CASE("one wrong number in one rank's part is an error on every rank") {
  auto logits = right_logits(2);
  logits[1][3][100] += 2;
  for (const auto& error : errors_of(some_tokens(2), logits, 2)) {
    CHECK(error.max_abs == Approx(2).epsilon(1e-3));
    CHECK(error.max_rel > error_bound(Llama(load_model("llama-tiny")), 7, 2, at::kFloat));
  }
}

TEST_CASE("logits that are not finite are infinitely wrong") {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto logits = right_logits(2);
    logits[1][3][100] = wrong;
    for (const auto& error : errors_of(some_tokens(2), logits, 2)) {
      CHECK(error.max_rel == std::numeric_limits<double>::infinity());
    }
  }
}

TEST_CASE("logits of other tokens are wrong by far") {
  const auto error = errors_of(make_tokens(6, 2, 7, 515), right_logits(2), 2).front();
  CHECK(error.max_rel > 0.1);
}

TEST_CASE("the bound is twice the root mean square of the roundings") {
  const LlamaConfig config{
      .name = "hand", .hidden = 64, .layers = 4, .heads = 4, .kv_heads = 4, .ffn = 768, .vocabulary = 99};
  // 9 sublayers; sums of 768 terms in blocks of 384 and then 2; 7 values rounded on 2 ranks.
  const double sums = 386.0 / 6 * std::pow(2, -48);
  CHECK(error_bound(Llama(config), 8, 2, at::kFloat) ==
        Approx(2 * std::sqrt(18 * (7.0 / 3 * std::pow(2, -48) + sums))));
  CHECK(error_bound(Llama(config), 8, 2, at::kBFloat16) ==
        Approx(2 * std::sqrt(18 * (7.0 / 3 * std::pow(2, -16) + sums))));
}

TEST_CASE("the bound grows with depth, width, length and ranks") {
  const auto config = load_model("llama-tiny");
  const auto of = [&](std::int64_t layers, std::int64_t hidden, std::int64_t seq, int ranks) {
    auto changed = config;
    changed.layers = layers;
    changed.hidden = hidden;
    return error_bound(Llama(changed), seq, ranks, at::kFloat);
  };
  const double least = of(2, 96, 64, 2);
  CHECK(of(8, 96, 64, 2) == Approx(least * std::sqrt(17.0 / 5)));
  CHECK(of(2, 4096, 64, 2) > least);
  CHECK(of(2, 96, 4096, 2) > least);
  CHECK(of(2, 96, 64, 8) > least);
}
