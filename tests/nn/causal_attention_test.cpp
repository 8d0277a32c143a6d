#include "support/torch_and_catch.h"
// The line above comes first.
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <mutex>
#include <set>
#include <thread>

#include "tpsp/core/error.h"
#include "tpsp/gemm/product.h"
#include "tpsp/machine/memory.h"
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

TEST_CASE("what is shared among threads runs on several") {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::set_num_threads(3);
  at::parallel_for(0, 3, 1, [&](std::int64_t, std::int64_t) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(1);
  CHECK(threads.size() == 3);
}

TEST_CASE("a product of two activations is what it is defined as, whichever thread asks for it first") {
  at::manual_seed(9);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    if (!has_product(dtype)) continue;
    for (const std::int64_t rows : {1, 7, 64}) {
      for (const std::int64_t n : {1, 33, 200}) {
        for (const std::int64_t k : {1, 5, 130}) {
          for (const bool transposed : {false, true}) {
            CAPTURE(at::toString(dtype), rows, n, k, transposed);
            const auto x = at::randn({rows, k}).to(dtype);
            const auto y = at::randn(transposed ? at::IntArrayRef{n, k} : at::IntArrayRef{k, n}).to(dtype);
            const auto out = at::full({rows, n}, 77.0F);
            std::thread([&] {
              multiply({.rows = rows, .n = n, .k = k, .transposed = transposed, .dtype = dtype}, x.const_data_ptr(),
                       y.const_data_ptr(), out.mutable_data_ptr<float>());
            }).join();
            const auto want = at::matmul(x.to(at::kDouble), (transposed ? y.t() : y).to(at::kDouble));
            CHECK((out - want).abs().max().item<double>() < 1e-4);
          }
        }
      }
    }
  }
}

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
      at::Tensor elsewhere;
      std::thread([&] { elsewhere = attention(inputs, 2); }).join();
      CHECK(elsewhere.equal(out));
    }
  }
}

TEST_CASE("LibTorch's attention stands in for it, dense, for what oneDNN has no product for") {
  at::manual_seed(10);
  for (const Shape& shape : {Shape{70, 2, 4, 2, 16}, Shape{5, 3, 2, 2, 8}}) {
    const Inputs inputs(shape, at::kDouble);
    const auto out = attention(inputs, 1);
    CHECK(out.is_contiguous());
    CHECK((out - reference(inputs)).abs().max().item<double>() < 1e-12);
  }
}

TEST_CASE("causal attention refuses what does not fit together") {
  const Inputs inputs({6, 1, 4, 2, 8}, at::kFloat);
  const auto refused = [&](const at::Tensor& keys, const at::Tensor& values) {
    CHECK_THROWS_AS(ops::causal_attention(inputs.queries, keys, values), Error);
  };
  refused(inputs.keys.to(at::kBFloat16), inputs.values);
  refused(inputs.keys, inputs.values.narrow(1, 0, 1));
  refused(inputs.keys.narrow(2, 0, 5), inputs.values);
  refused(inputs.keys.transpose(2, 3).contiguous().transpose(2, 3), inputs.values);
  refused(at::cat({inputs.keys, inputs.keys.narrow(1, 0, 1)}, 1),
          at::cat({inputs.keys, inputs.keys.narrow(1, 0, 1)}, 1));
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

TEST_CASE("an embedding is the row of each id, and zero for those of other ranks") {
  at::manual_seed(11);
  const auto table = at::randn({10, 6});
  const auto ids = at::randint(0, 40, {4, 3}, at::kLong).t();  // [seq 3, batch 4], as they lie in [batch, seq]
  const auto wide = at::full({3, 4, 9}, 77.0F);
  for (const auto& out : {at::empty({3, 4, 6}), wide.narrow(2, 2, 6)}) {
    ops::embedding(table, ids, 15, out);
    for (std::int64_t s = 0; s < 3; ++s) {
      for (std::int64_t b = 0; b < 4; ++b) {
        const auto row = ids[s][b].item<std::int64_t>() - 15;
        const auto want = row < 0 || row >= 10 ? at::zeros({6}) : table[row];
        CHECK(out[s][b].equal(want));
      }
    }
  }
  CHECK(wide.narrow(2, 0, 2).eq(77).all().item<bool>());
  CHECK(wide.narrow(2, 8, 1).eq(77).all().item<bool>());
}

TEST_CASE("on meta attention takes the memory that it does with as many threads, or on a GPU") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    if (!has_product(dtype)) continue;
    const Inputs inputs({200, 2, 4, 2, 64}, dtype);
    for (const int threads : {1, 3}) {
      AllocationMeter real(at::kCPU);
      const auto before = real.current_bytes();
      attention(inputs, threads);
      AllocationMeter meta(at::kMeta);
      const auto as_meta = [](const at::Tensor& one) {
        return at::empty(one.sizes(), one.options().device(at::kMeta));
      };
      const auto queries = as_meta(inputs.queries);
      const auto keys = as_meta(inputs.keys);
      const auto meta_before = meta.current_bytes();
      ops::causal_attention(queries, keys, keys, {.threads = threads});
      CHECK(meta.peak_bytes() - meta_before == real.peak_bytes() - before);
      meta.reset_peak();
      ops::causal_attention(queries, keys, keys, {.device = at::kCUDA, .threads = threads});
      CHECK(meta.peak_bytes() - meta_before ==
            static_cast<std::int64_t>(2 * queries.nbytes()));  // by head and by token
    }
  }
}

TEST_CASE("causal attention and rotation have their shapes on meta") {
  const auto meta = at::TensorOptions().device(at::kMeta);
  const auto keys = ops::by_head(at::empty({6, 2, 1, 8}, meta));
  CHECK(keys.sizes() == at::IntArrayRef({2, 1, 6, 8}));
  const auto out = ops::causal_attention(at::empty({2, 4, 6, 8}, meta), keys, keys);
  CHECK(out.sizes() == at::IntArrayRef({6, 2, 32}));
}

namespace {

// Gradients of the definition, in double precision: of queries, keys and values.
std::vector<at::Tensor> reference_gradients(const Inputs& inputs, const at::Tensor& of_result) {
  const c10::AutoGradMode recorded(true);
  auto copies = inputs;
  for (auto* one : {&copies.queries, &copies.keys, &copies.values}) {
    *one = one->to(at::kDouble).detach().clone().requires_grad_();
  }
  reference(copies).backward(of_result.to(at::kDouble));
  return {copies.queries.grad(), copies.keys.grad(), copies.values.grad()};
}

}  // namespace

TEST_CASE("the gradients of attention are the definition's, and its result is the one without them") {
  at::manual_seed(3);
  const Shape shapes[] = {{1, 1, 1, 1, 8},   {7, 2, 4, 4, 16},   {64, 1, 2, 1, 32},
                          {65, 2, 4, 2, 24}, {200, 1, 6, 3, 64}, {129, 2, 2, 2, 128}};
  for (const auto& shape : shapes) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      CAPTURE(shape.seq, shape.batch, shape.heads, shape.kv_heads, shape.head_dim, at::toString(dtype));
      const Inputs inputs(shape, dtype);
      const auto forward = ops::causal_attention_for_backward(inputs.queries, inputs.keys, inputs.values);
      CHECK(forward.mixed.equal(ops::causal_attention(inputs.queries, inputs.keys, inputs.values)));
      const auto of_result = at::randn(forward.mixed.sizes()).to(dtype);
      const auto gradients =
          ops::causal_attention_backward(of_result, inputs.queries, inputs.keys, inputs.values, forward);
      const auto expected = reference_gradients(inputs, of_result);
      const at::Tensor got[] = {gradients.queries, gradients.keys, gradients.values};
      for (std::size_t i = 0; i < 3; ++i) {
        CAPTURE(i);
        REQUIRE(got[i].sizes() == expected[i].sizes());
        const auto error = (got[i].to(at::kDouble) - expected[i]).abs().max().item<double>();
        CHECK(error <= expected[i].abs().max().item<double>() * (dtype == at::kFloat ? 1e-5 : 3e-2) + 1e-6);
      }
    }
  }
}

TEST_CASE("rotary positions turn gradients back to where they came from") {
  at::manual_seed(4);
  const auto table = ops::rotary_table(9, 16, 10000, at::TensorOptions());
  const auto heads = at::randn({9, 2, 3, 16});
  const auto turned = ops::rotate(heads, table);
  const auto back = at::empty({9, 2, 6, 16}).narrow(2, 1, 3);
  ops::rotate_back(turned, table, back);
  CHECK(at::allclose(back, heads, 1e-5, 1e-6));
}
