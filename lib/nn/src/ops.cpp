#include "tpsp/nn/ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

#include "tpsp/kernels/kernels.h"

namespace tpsp::ops {
namespace {

using kernels::Bf16;

// Calls `work` with a value of the kernels' element type for the tensor's dtype.
template <typename Work>
void with_element(const at::Tensor& tensor, const Work& work) {
  if (tensor.scalar_type() == at::kBFloat16) return work(Bf16());
  work(float());
}

template <typename T>
T* data_of(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

// [seq, batch, features] as rows of features.
at::Tensor rows_of(const at::Tensor& tensor) { return tensor.flatten(0, 1); }

template <typename T>
kernels::Rows<T> kernel_rows(const at::Tensor& tensor) {
  return {static_cast<T*>(tensor.data_ptr()), static_cast<std::size_t>(tensor.stride(0))};
}

/// The partials of up to most_ranks ranks, as the kernels take them.
template <typename T>
class Terms {
 public:
  Terms(const std::vector<at::Tensor>& partials, std::int64_t first_element) : count_(partials.size()) {
    std::transform(partials.begin(), partials.end(), pointers_.begin(),
                   [&](const at::Tensor& partial) { return data_of<const T>(partial) + first_element; });
  }
  std::span<const T* const> get() const { return {pointers_.data(), count_}; }

 private:
  static constexpr std::size_t most_ranks = 64;
  std::array<const T*, most_ranks> pointers_{};
  std::size_t count_;
};

// Where the last dimension lies at these indices of the others; it is contiguous.
template <typename... Index>
std::byte* row_at(const at::Tensor& tensor, Index... index) {
  std::int64_t dim = 0;
  std::int64_t elements = 0;
  ((elements += index * tensor.stride(dim++)), ...);
  return static_cast<std::byte*>(tensor.data_ptr()) + elements * tensor.element_size();
}

// Rows for one thread at least: some hundred thousand elements.
std::int64_t grain(std::int64_t width) {
  return std::max<std::int64_t>(1, (1 << 17) / std::max<std::int64_t>(width, 1));
}

void embedding_on_cpu(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out) {
  const auto row_bytes = static_cast<std::size_t>(table.size(1) * table.element_size());
  const auto* const id = ids.const_data_ptr<std::int64_t>();
  const auto batch = out.size(1);
  at::parallel_for(0, ids.numel(), grain(table.size(1)), [&](std::int64_t begin, std::int64_t end) {
    for (auto token = begin; token < end; ++token) {
      auto* const to = row_at(out, token / batch, token % batch);
      const auto row = id[token] - first_row;
      if (row < 0 || row >= table.size(0)) {
        std::memset(to, 0, row_bytes);
      } else {
        std::memcpy(to, row_at(table, row), row_bytes);
      }
    }
  });
}

}  // namespace

void embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out) {
  if (table.is_meta()) return;
  if (table.is_cpu()) return embedding_on_cpu(table, ids.contiguous(), first_row, out);
  const auto local = ids - first_row;
  const auto outside = local.lt(0).logical_or_(local.ge(table.size(0)));
  const auto rows = local.masked_fill_(outside, 0).flatten();
  if (out.is_contiguous()) {
    auto flat = out.view({-1, table.size(1)});
    at::index_select_out(flat, table, 0, rows);
  } else {
    out.copy_(table.index_select(0, rows).view(out.sizes()));
  }
  out.masked_fill_(outside.unsqueeze(-1), 0);
}

void linear(const at::Tensor& input, const GemmWeight& weight, const at::Tensor& out) {
  const auto rows = rows_of(input);
  weight.multiply(rows.stride(1) == 1 ? rows : rows.contiguous(), rows_of(out));
}

namespace {

// x and 1 / sqrt(mean(x^2) + eps), in fp32.
std::pair<at::Tensor, at::Tensor> with_inverse(const at::Tensor& input, double eps) {
  const auto x = input.to(at::kFloat);
  const auto width = static_cast<double>(x.size(-1));
  return {x, at::linalg_vector_norm(x, 2, {-1}, /*keepdim=*/true).square_().div_(width).add_(eps).rsqrt_()};
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& input, const at::Tensor& weight, double eps) {
  const auto [x, inverse] = with_inverse(input, eps);
  return at::mul(x, inverse).mul_(weight).to(input.scalar_type());
}

void add(const at::Tensor& stream, const std::vector<at::Tensor>& partials) {
  if (partials.size() > 1 && stream.is_cpu()) {  // summed first and rounded once, as a collective would have
    const auto total = at::empty(stream.sizes(), stream.options());
    with_element(stream, [&]<typename T>(T) {
      kernels::sum(data_of<T>(total), Terms<T>(partials, 0).get(), static_cast<std::size_t>(total.numel()));
    });
    stream.add_(total);
    return;
  }
  for (const auto& partial : partials) stream.add_(partial);
}

void add_norm(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& weight, double eps,
              const at::Tensor& normed) {
  if (normed.is_meta()) return;
  if (!normed.is_cpu()) {
    add(stream, partials);
    const auto [x, inverse] = with_inverse(stream, eps);
    auto out = normed.scalar_type() == at::kFloat ? normed : at::empty(x.sizes(), x.options());
    at::mul_out(out, x, inverse).mul_(weight);
    if (!out.is_same(normed)) normed.copy_(out);
    return;
  }
  const auto width = stream.size(-1);
  with_element(stream, [&]<typename T>(T) {
    at::parallel_for(0, stream.numel() / width, grain(width), [&](std::int64_t begin, std::int64_t end) {
      const Terms<T> terms(partials, begin * width);
      kernels::add_norm(kernels::AddNorm<T>{.terms = terms.get(),
                                            .stream = data_of<T>(stream) + begin * width,
                                            .weight = data_of<const T>(weight),
                                            .normed = data_of<T>(normed) + begin * width,
                                            .rows = static_cast<std::size_t>(end - begin),
                                            .width = static_cast<std::size_t>(width),
                                            .eps = static_cast<float>(eps)});
    });
  });
}

RotaryTable rotary_table(std::int64_t seq, std::int64_t head_dim, double theta, const at::TensorOptions& options) {
  const auto fp32 = options.dtype(at::kFloat);
  const auto exponent = at::arange(0, head_dim, 2, fp32).div_(static_cast<double>(head_dim));
  const auto frequency = at::pow(theta, exponent).reciprocal_();
  const auto angle = at::arange(seq, fp32).view({seq, 1, 1, 1}) * frequency;
  const auto dtype = options.device().is_cuda() ? options.dtype() : fp32.dtype();  // the CPU's kernel takes fp32
  return {.cos = angle.cos().to(dtype), .sin = angle.sin().to(dtype)};
}

namespace {

// [batch, heads, seq, d] seen as [seq, batch, heads, d].
at::Tensor by_token(const at::Tensor& heads) { return heads.permute({2, 0, 1, 3}); }

void rotate_anywhere(const at::Tensor& heads, const RotaryTable& table, const at::Tensor& turned) {
  const auto half = heads.size(-1) / 2;
  const auto first = heads.narrow(-1, 0, half);
  const auto second = heads.narrow(-1, half, half);
  auto turned_first = turned.narrow(-1, 0, half);
  auto turned_second = turned.narrow(-1, half, half);
  at::mul_out(turned_first, first, table.cos).addcmul_(second, table.sin, -1);
  at::mul_out(turned_second, second, table.cos).addcmul_(first, table.sin);
}

// The heads of one token.
template <typename T>
kernels::Rows<T> heads_of(const at::Tensor& heads, std::int64_t s, std::int64_t b) {
  return {data_of<T>(heads) + s * heads.stride(0) + b * heads.stride(1), static_cast<std::size_t>(heads.stride(2))};
}

void rotate_on_cpu(const at::Tensor& heads, const RotaryTable& table, const at::Tensor& turned) {
  const auto batch = heads.size(1);
  const auto count = heads.size(2);
  const auto half = heads.size(3) / 2;
  const auto* const cos = data_of<const float>(table.cos);
  const auto* const sin = data_of<const float>(table.sin);
  with_element(heads, [&]<typename T>(T) {
    at::parallel_for(0, heads.size(0), grain(batch * count * half), [&](std::int64_t begin, std::int64_t end) {
      for (auto s = begin; s < end; ++s) {
        for (std::int64_t b = 0; b < batch; ++b) {
          const auto from = heads_of<const T>(heads, s, b);
          kernels::rotate(heads_of<T>(turned, s, b), from, cos + s * half, sin + s * half,
                          static_cast<std::size_t>(count), static_cast<std::size_t>(half));
        }
      }
    });
  });
}

}  // namespace

at::Tensor rotate(const at::Tensor& heads, const RotaryTable& table) {
  auto turned = at::empty({heads.size(1), heads.size(2), heads.size(0), heads.size(3)}, heads.options());
  if (heads.is_cpu()) {
    rotate_on_cpu(heads, table, by_token(turned));
  } else {
    rotate_anywhere(heads, table, by_token(turned));
  }
  return turned;
}

at::Tensor by_head(const at::Tensor& heads) { return heads.permute({1, 2, 0, 3}).contiguous(); }

at::Tensor heads_for_queries(const at::Tensor& kv_heads, std::int64_t first, std::int64_t count, std::int64_t group) {
  if (kv_heads.is_meta()) {  // which knows no index_select
    return at::empty({kv_heads.size(0), kv_heads.size(1), count, kv_heads.size(3)}, kv_heads.options());
  }
  const auto queries = at::arange(first, first + count, kv_heads.options().dtype(at::kLong));
  return kv_heads.index_select(2, queries.div(group, /*rounding_mode=*/"floor"));
}

namespace {

// Whether the two are the halves of the rows of one dense tensor.
bool are_halves(const at::Tensor& gate, const at::Tensor& up) {
  const auto width = gate.size(-1);
  return gate.is_alias_of(up) && up.storage_offset() == gate.storage_offset() + width &&
         gate.strides() == up.strides() && gate.stride(2) == 1 && gate.stride(1) == 2 * width &&
         gate.stride(0) == gate.size(1) * 2 * width;
}

void swiglu_rows(const at::Tensor& out, const at::Tensor& gate, const at::Tensor& up, std::int64_t first,
                 std::int64_t last) {
  const auto width = gate.size(-1);
  with_element(gate, [&]<typename T>(T) {
    at::parallel_for(first, last, grain(width), [&](std::int64_t begin, std::int64_t end) {
      const auto from = [&]<typename E>(kernels::Rows<E> rows) {
        return kernels::Rows<E>{rows[static_cast<std::size_t>(begin)], rows.stride};
      };
      kernels::swiglu(from(kernel_rows<T>(out)), from(kernel_rows<const T>(gate)), from(kernel_rows<const T>(up)),
                      static_cast<std::size_t>(end - begin), static_cast<std::size_t>(width));
    });
  });
}

// Row i of the result lies where the inputs of row i / 2 were. So the rows [a, 2a) may be written, in any order and by
// any thread, once the rows below a have been: threads share these steps, each twice as long as the one before.
void swiglu_of_halves(const at::Tensor& out, const at::Tensor& gate, const at::Tensor& up) {
  const auto rows = gate.size(0);
  for (std::int64_t first = 0; first < rows; first = std::max<std::int64_t>(2 * first, 1)) {
    swiglu_rows(out, gate, up, first, std::min(rows, std::max<std::int64_t>(2 * first, 1)));
  }
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, const StandsFor& meta) {
  if (gate.is_meta() && meta.device != at::kCPU) return gate;
  if (gate.is_cuda()) {
    auto activated = gate;
    return at::silu_(activated).mul_(up);
  }
  const bool halves = are_halves(gate, up);
  const auto out = halves ? gate.as_strided(gate.sizes(), {gate.size(1) * gate.size(2), gate.size(2), 1}) : gate;
  if (gate.is_meta()) return out;
  if (halves) {
    swiglu_of_halves(rows_of(out), rows_of(gate), rows_of(up));
  } else {
    swiglu_rows(rows_of(out), rows_of(gate), rows_of(up), 0, out.size(0) * out.size(1));
  }
  return out;
}

}  // namespace tpsp::ops
