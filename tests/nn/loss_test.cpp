#include "tpsp/nn/loss.h"

#include <cmath>

#include "support/torch_and_catch.h"
#include "tpsp/comm/backend.h"
#include "tpsp/comm/dry.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

namespace {

constexpr std::int64_t batch = 2;
constexpr std::int64_t seq = 5;
constexpr std::int64_t vocabulary = 21;
constexpr double scale = 1.0 / 7;

std::int64_t padded(std::int64_t size, int ranks) { return (size + ranks - 1) / ranks * ranks; }

struct Expected {
  double loss = 0;
  at::Tensor gradient;  // padding included
};

// By the definition, in double precision, of logits `[padded seq, batch, padded vocabulary]`.
Expected expected_of(const at::Tensor& logits, const at::Tensor& targets) {
  const auto counted = logits.narrow(0, 0, seq).narrow(2, 0, vocabulary).to(at::kDouble);
  const auto ids = targets.t().unsqueeze(2);
  const auto logs = counted.log_softmax(-1);
  Expected expected{.loss = -scale * logs.gather(2, ids).sum().item<double>(),
                    .gradient = at::zeros(logits.sizes(), at::kDouble)};
  auto gradient = logs.exp();
  gradient.scatter_add_(2, ids, -at::ones(ids.sizes(), at::kDouble));
  expected.gradient.narrow(0, 0, seq).narrow(2, 0, vocabulary).copy_(gradient * scale);
  return expected;
}

at::Tensor part_of(const at::Tensor& full, Placement placement, int rank, int ranks) {
  if (!placement.is_shard()) return full;
  const auto size = full.size(placement.dim()) / ranks;
  return full.narrow(placement.dim(), rank * size, size);
}

void check_loss(Placement placement, at::ScalarType dtype, int ranks, double within) {
  CAPTURE(to_string(placement), at::toString(dtype), ranks);
  at::manual_seed(8);
  auto logits = at::randn({padded(seq, ranks), batch, padded(vocabulary, ranks)}).mul_(8).to(dtype);
  // What padding holds must not matter.
  logits.narrow(2, vocabulary, logits.size(2) - vocabulary).fill_(1000);
  const auto targets = at::randint(0, vocabulary, {batch, seq}, at::kLong);
  const auto expected = expected_of(logits, targets);
  std::vector<double> losses(static_cast<std::size_t>(ranks));
  std::vector<double> errors(static_cast<std::size_t>(ranks));
  run_threads(ranks, [&](World& world) {
    const auto group = make_process_group(standard_backends(), "auto", world, at::kCPU);
    const auto rank = world.rank();
    Sharded mine{.local = part_of(logits, placement, rank, ranks).clone(),
                 .global = logits.sizes().vec(),
                 .placement = placement};
    const auto memory = mine.local.data_ptr();
    const auto loss = nn::cross_entropy(std::move(mine), targets, vocabulary, scale, {.tp = *group});
    const auto want = part_of(expected.gradient, placement, rank, ranks);
    const auto i = static_cast<std::size_t>(rank);
    losses[i] = loss.value;
    errors[i] = (loss.gradient.local.to(at::kDouble) - want).abs().max().item<double>();
    if (loss.gradient.local.data_ptr() != memory || loss.gradient.placement != placement) errors[i] = 1;
  });
  for (const auto loss : losses) CHECK(loss == Approx(expected.loss).epsilon(1e-5));
  for (const auto error : errors) CHECK(error < within);
}

}  // namespace

TEST_CASE("the loss and its gradient are the definition's, however the logits are sharded") {
  for (const auto placement : {Placement::replicate(), Placement::shard(seq_dim), Placement::shard(feature_dim)}) {
    for (const int ranks : {1, 2, 4}) {
      check_loss(placement, at::kFloat, ranks, 1e-6);
      check_loss(placement, at::kBFloat16, ranks, 1e-3);
    }
  }
}

TEST_CASE("a rank that has padding words alone takes part") {
  // 21 words over 8 ranks are 3 a rank, so that the last has none of them.
  check_loss(Placement::shard(feature_dim), at::kFloat, 8, 1e-6);
}

TEST_CASE("the loss of one token is -log of its target's probability") {
  auto logits = at::zeros({1, 1, 4});
  logits[0][0][2] = 3;
  DryProcessGroup alone(0, 1);
  const Sharded value{.local = logits, .global = {1, 1, 4}, .placement = Placement::replicate()};
  const auto targets = at::full({1, 1}, 2, at::kLong);
  const auto loss = nn::cross_entropy(value, targets, 4, 1, {.tp = alone});
  CHECK(loss.value == Approx(std::log1p(3 * std::exp(-3.0))).epsilon(1e-5));
  CHECK(loss.gradient.local[0][0][0].item<float>() == Approx(1 / (3 + std::exp(3.0))).epsilon(1e-5));
}
