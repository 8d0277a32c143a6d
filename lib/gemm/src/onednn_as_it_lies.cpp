#include "onednn_as_it_lies.h"
#ifdef TPSP_WITH_ONEDNN
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "onednn.h"
#endif

namespace tpsp {

#ifdef TPSP_WITH_ONEDNN
namespace onednn {
namespace {

// A dimension of one element has any stride; oneDNN wants one that is not less than the other dimension.
Layout layout_of(const at::Tensor& matrix) {
  dnnl::memory::dims strides{matrix.stride(0), matrix.stride(1)};
  if (matrix.size(0) == 1) strides[0] = std::max(strides[0], matrix.size(1) * strides[1]);
  if (matrix.size(1) == 1) strides[1] = std::max(strides[1], matrix.size(0) * strides[0]);
  return {{matrix.size(0), matrix.size(1)}, type_of(matrix.scalar_type()), strides};
}

dnnl::memory memory_of(const at::Tensor& matrix) {
  return {layout_of(matrix), engine(), const_cast<void*>(matrix.const_data_ptr())};
}

/// A matmul, and the memory that it is to be given.
struct Prepared {
  Matmul matmul;
  Layout scratch;
  bool sums_aside = false;  ///< the whole result in fp32, in that memory
};

/// All that it is prepared for.
using Key = std::tuple<OnednnGemm, at::ScalarType, bool, int, std::array<std::int64_t, 9>>;

Key key_of(OnednnGemm gemm, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  return {gemm,
          a.scalar_type(),
          adds,
          at::get_num_threads(),
          {a.size(0), a.size(1), b.size(1), a.stride(0), a.stride(1), b.stride(0), b.stride(1), out.stride(0),
           out.stride(1)}};
}

bool is_jit(const Matmul::primitive_desc& description) {
  return std::string_view(description.impl_info_str()).starts_with("gemm:jit");
}

/// Of a, b and the result.
using Layouts = std::array<Layout, 3>;

// Nothing where oneDNN has plain loops alone. Its scratch is ours, so that what holds the sums of a bf16 result is
// counted like any other memory.
template <typename MakeLayouts>
std::optional<Prepared> prepare(OnednnGemm gemm, bool adds, const MakeLayouts& layouts) {
  if (!is_version_of_header()) return std::nullopt;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (adds) {
    dnnl::post_ops sum;
    sum.append_sum(1);
    attributes.set_post_ops(sum);
  }
  try {
    const Layouts of = layouts();
    Matmul::primitive_desc description(engine(), of[0], of[1], of[2], attributes);
    while (gemm == OnednnGemm::jit && !is_jit(description)) {
      if (!description.next_impl()) return std::nullopt;
    }
    if (!is_a_kernel(description)) return std::nullopt;
    return Prepared{.matmul = Matmul(description),
                    .scratch = description.scratchpad_desc(),
                    .sums_aside = is_jit(description) && of[2].get_data_type() != Type::f32};
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw;
  }
  return std::nullopt;
}

// A step has a few shapes, and makes its matmuls once.
const std::optional<Prepared>& prepared(OnednnGemm gemm, const at::Tensor& a, const at::Tensor& b,
                                        const at::Tensor& out, bool adds) {
  thread_local std::map<Key, std::optional<Prepared>> all;
  const auto key = key_of(gemm, a, b, out, adds);
  auto found = all.find(key);
  if (found == all.end()) {
    const auto layouts = [&] { return Layouts{layout_of(a), layout_of(b), layout_of(out)}; };
    found = all.emplace(key, prepare(gemm, adds, layouts)).first;
  }
  return found->second;
}

at::Tensor scratch_of(std::size_t bytes, const at::Tensor& out) {
  return at::empty({static_cast<std::int64_t>(bytes)}, out.options().dtype(at::kByte));
}

void multiply(const Prepared& ready, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out,
              const at::Tensor& scratch) {
  if (out.is_meta()) return;
  dnnl::stream stream(engine());
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, memory_of(a)}, {DNNL_ARG_WEIGHTS, memory_of(b)}, {DNNL_ARG_DST, memory_of(out)}};
  if (ready.scratch.get_size() > 0) {
    arguments.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(ready.scratch, engine(), scratch.mutable_data_ptr()));
  }
  ready.matmul.execute(stream, arguments);
  stream.wait();
}

// In equal parts of at most so many rows, but for the last, which may be shorter. False, with nothing done, where
// oneDNN has no kernel for one of the two.
bool multiply_in_parts(OnednnGemm gemm, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  constexpr std::int64_t most_rows = 512;
  const auto m = out.size(0);
  const auto parts = (m + most_rows - 1) / most_rows;
  const auto rows = (m + parts - 1) / parts;
  const auto last_rows = m - (parts - 1) * rows;
  const auto ready_for = [&](std::int64_t count) -> const std::optional<Prepared>& {
    return prepared(gemm, a.narrow(0, 0, count), b, out.narrow(0, 0, count), adds);
  };
  const auto& full = ready_for(rows);
  const auto& last = ready_for(last_rows);
  if (!full || !last) return false;
  const auto scratch = scratch_of(std::max(full->scratch.get_size(), last->scratch.get_size()), out);
  for (std::int64_t first = 0; first < m; first += rows) {
    const auto count = std::min(rows, m - first);
    multiply(count == rows ? *full : *last, a.narrow(0, first, count), b, out.narrow(0, first, count), scratch);
  }
  return true;
}

}  // namespace
}  // namespace onednn

bool onednn_has(OnednnGemm gemm, at::ScalarType dtype) {
  using Kinds = std::map<std::pair<OnednnGemm, at::ScalarType>, bool>;
  static const auto all = [] {
    Kinds found;
    for (const auto which : {OnednnGemm::first, OnednnGemm::jit}) {
      for (const auto of : {at::kFloat, at::kBFloat16}) {
        onednn::with_bad_alloc([&] {
          const auto matrix = [&] { return onednn::dense_rows(16, 16, onednn::type_of(of)); };
          const auto layouts = [&] { return onednn::Layouts{matrix(), matrix(), matrix()}; };
          found[{which, of}] = onednn::prepare(which, /*adds=*/false, layouts).has_value();
        });
      }
    }
    return found;
  }();
  const auto found = all.find({gemm, dtype});
  return found != all.end() && found->second;
}

bool onednn_multiply(OnednnGemm gemm, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  const bool known = a.scalar_type() == at::kFloat || a.scalar_type() == at::kBFloat16;
  if (!(a.is_cpu() || a.is_meta()) || !known) return false;
  at::internal::lazy_init_num_threads();  // a thread's first GEMM sets how many threads it uses
  bool done = false;
  onednn::with_bad_alloc([&] {
    const auto& whole = onednn::prepared(gemm, a, b, out, adds);
    if (!whole) return;
    if (whole->sums_aside) {
      done = onednn::multiply_in_parts(gemm, a, b, out, adds);
    } else {
      onednn::multiply(*whole, a, b, out, onednn::scratch_of(whole->scratch.get_size(), out));
      done = true;
    }
  });
  return done;
}
#else
bool onednn_has(OnednnGemm, at::ScalarType) { return false; }
bool onednn_multiply(OnednnGemm, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) { return false; }
#endif

}  // namespace tpsp
