#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>

#include <cmath>

#include "tpsp/nn/ops.h"

using namespace tpsp;

namespace {

struct Shape {
  std::int64_t seq;
  std::int64_t batch;
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
};

struct Inputs {
  Inputs(const Shape& shape, at::ScalarType dtype)
      : queries(at::randn({shape.batch, shape.heads, shape.seq, shape.head_dim}).mul_(2).to(dtype)),
        keys(at::randn({shape.batch, shape.kv_heads, shape.seq, shape.head_dim}).to(dtype)),
        values(at::randn({shape.batch, shape.kv_heads, shape.seq, shape.head_dim}).to(dtype)) {}

  at::Tensor queries;
  at::Tensor keys;
  at::Tensor values;
};

// The definition, in double precision: [seq, batch, heads * head_dim].
at::Tensor reference(const Inputs& inputs) {
  const auto group = inputs.queries.size(1) / inputs.keys.size(1);
  const auto q = inputs.queries.to(at::kDouble);
  const auto k = inputs.keys.to(at::kDouble).repeat_interleave(group, 1);
  const auto v = inputs.values.to(at::kDouble).repeat_interleave(group, 1);
  const auto hidden = at::ones({q.size(2), q.size(2)}, at::kBool).triu(1);
  const auto scores = at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3)));
  const auto probabilities = scores.masked_fill(hidden, -INFINITY).softmax(-1);
  return at::matmul(probabilities, v).permute({2, 0, 1, 3}).flatten(2);
}

at::Tensor attention(const Inputs& inputs, int threads) {
  at::set_num_threads(threads);
  auto out = ops::causal_attention(inputs.queries, inputs.keys, inputs.values);
  at::set_num_threads(1);
  return out;
}

}  // namespace

TEST_CASE("causal attention is what it is defined as, for odd lengths, grouped queries and several threads") {
  at::manual_seed(6);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const Shape& shape :
         {Shape{1, 1, 1, 1, 64}, Shape{2, 3, 2, 1, 16}, Shape{63, 1, 2, 2, 80}, Shape{64, 2, 4, 2, 64},
          Shape{65, 1, 3, 3, 128}, Shape{200, 2, 6, 2, 33}, Shape{333, 1, 1, 1, 128}, Shape{1030, 1, 2, 1, 96}}) {
      CAPTURE(at::toString(dtype), shape.seq, shape.batch, shape.heads, shape.kv_heads, shape.head_dim);
      const Inputs inputs(shape, dtype);
      const auto out = attention(inputs, 1);
      CHECK(out.sizes() == at::IntArrayRef({shape.seq, shape.batch, shape.heads * shape.head_dim}));
      CHECK(out.scalar_type() == dtype);
      const auto error = (out.to(at::kDouble) - reference(inputs)).abs().max().item<double>();
      CHECK(error < (dtype == at::kFloat ? 4e-6 : 0.02));
      CHECK(attention(inputs, 3).equal(out));
    }
  }
}

TEST_CASE("causal attention does not let a query see a later key") {
  at::manual_seed(7);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const Inputs inputs({150, 1, 2, 2, 64}, dtype);
    const auto before = attention(inputs, 1);
    for (const auto& tensor : {inputs.keys, inputs.values}) tensor.narrow(2, 100, 50).fill_(1e4);
    const auto after = attention(inputs, 1);
    CHECK(after.narrow(0, 0, 100).equal(before.narrow(0, 0, 100)));
    CHECK_FALSE(after.narrow(0, 100, 50).equal(before.narrow(0, 100, 50)));
  }
}

TEST_CASE("rotary positions come out by head, as a rotation of each pair by its position") {
  at::manual_seed(8);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto wide = at::randn({7, 2, 3 * 16 + 5}).to(dtype);
    const auto heads = wide.narrow(2, 5, 3 * 16).unflatten(2, {3, 16});
    const auto table = ops::rotary_table(7, 16, 10000, wide.options());
    const auto turned = ops::rotate(heads, table);
    CHECK(turned.is_contiguous());
    const auto x = heads.to(at::kDouble).permute({1, 2, 0, 3});
    CHECK(ops::by_head(heads).to(at::kDouble).equal(x));
    const auto first = x.narrow(3, 0, 8);
    const auto second = x.narrow(3, 8, 8);
    const auto angle =
        at::arange(7, at::kDouble).view({7, 1}) * at::pow(10000, at::arange(0, 16, 2, at::kDouble).div(-16));
    const auto want =
        at::cat({first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()}, 3);
    CHECK((turned.to(at::kDouble) - want).abs().max().item<double>() < (dtype == at::kFloat ? 1e-5 : 0.02));
  }
}

TEST_CASE("causal attention and rotation have their shapes on meta") {
  const auto meta = at::TensorOptions().device(at::kMeta);
  const auto keys = ops::by_head(at::empty({6, 2, 1, 8}, meta));
  CHECK(keys.sizes() == at::IntArrayRef({2, 1, 6, 8}));
  const auto out = ops::causal_attention(at::empty({2, 4, 6, 8}, meta), keys, keys);
  CHECK(out.sizes() == at::IntArrayRef({6, 2, 32}));
}
