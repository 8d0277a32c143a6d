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
#include <vector>

#include "onednn.h"
#endif

namespace tpsp {

#ifdef TPSP_WITH_ONEDNN
namespace onednn {
namespace {

Layout layout_of(const at::Tensor& matrix) {
  return {{matrix.size(0), matrix.size(1)},
          type_of(matrix.scalar_type()),
          dnnl::memory::dims{matrix.stride(0), matrix.stride(1)}};
}

dnnl::memory memory_of(const at::Tensor& matrix) {
  return {layout_of(matrix), engine(), const_cast<void*>(matrix.const_data_ptr())};
}

/// A matmul and the memory that it is to be given; bytes.
struct Prepared {
  Matmul matmul;
  std::int64_t scratch_bytes = 0;
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

// Nothing where oneDNN has plain loops alone. Of jit the scratch is ours, so that what holds the sums of a bf16 result
// is counted like any other memory.
std::optional<Prepared> prepare(OnednnGemm gemm, const Layout& a, const Layout& b, const Layout& out, bool adds) {
  if (!is_version_of_header()) return std::nullopt;
  const bool jit = gemm == OnednnGemm::jit;
  dnnl::primitive_attr attributes;
  if (jit) attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (adds) {
    dnnl::post_ops sum;
    sum.append_sum(1);
    attributes.set_post_ops(sum);
  }
  try {
    Matmul::primitive_desc description(engine(), a, b, out, attributes);
    while (jit && !is_jit(description)) {
      if (!description.next_impl()) return std::nullopt;
    }
    if (!is_a_kernel(description)) return std::nullopt;
    const auto scratch = jit ? description.scratchpad_desc().get_size() : 0;
    return Prepared{.matmul = Matmul(description), .scratch_bytes = static_cast<std::int64_t>(scratch)};
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
  if (found == all.end())
    found = all.emplace(key, prepare(gemm, layout_of(a), layout_of(b), layout_of(out), adds)).first;
  return found->second;
}

void multiply(const Prepared& ready, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const auto scratch = at::empty({ready.scratch_bytes}, out.options().dtype(at::kByte));
  if (out.is_meta()) return;
  dnnl::stream stream(engine());
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, memory_of(a)}, {DNNL_ARG_WEIGHTS, memory_of(b)}, {DNNL_ARG_DST, memory_of(out)}};
  if (ready.scratch_bytes > 0) {
    const Layout bytes({ready.scratch_bytes}, Type::u8, dnnl::memory::format_tag::a);
    arguments.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(bytes, engine(), scratch.mutable_data_ptr()));
  }
  ready.matmul.execute(stream, arguments);
  stream.wait();
}

}  // namespace
}  // namespace onednn

bool onednn_has(OnednnGemm gemm, at::ScalarType dtype) {
  const auto has = [](OnednnGemm which, at::ScalarType of) {
    const auto matrix = onednn::dense_rows(16, 16, onednn::type_of(of));
    return onednn::prepare(which, matrix, matrix, matrix, /*adds=*/false).has_value();
  };
  static const std::map<std::pair<OnednnGemm, at::ScalarType>, bool> all = [&] {
    std::map<std::pair<OnednnGemm, at::ScalarType>, bool> found;
    for (const auto which : {OnednnGemm::first, OnednnGemm::jit}) {
      for (const auto of : {at::kFloat, at::kBFloat16}) found[{which, of}] = has(which, of);
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
  constexpr std::int64_t summed_rows = 512;
  const bool sums_aside = gemm == OnednnGemm::jit && out.scalar_type() != at::kFloat;
  const auto m = out.size(0);
  const auto step = sums_aside ? summed_rows : m;
  struct Part {
    const onednn::Prepared& ready;
    at::Tensor a;
    at::Tensor out;
  };
  bool all = true;
  onednn::with_bad_alloc([&] {
    std::vector<Part> parts;
    for (std::int64_t first = 0; first < m && all; first += step) {
      const auto rows = std::min(step, m - first);
      const auto of_a = a.narrow(0, first, rows);
      const auto of_out = out.narrow(0, first, rows);
      const auto& ready = onednn::prepared(gemm, of_a, b, of_out, adds);
      all = ready.has_value();
      if (all) parts.push_back({*ready, of_a, of_out});
    }
    if (!all) return;
    for (const auto& part : parts) onednn::multiply(part.ready, part.a, b, part.out);
  });
  return all;
}
#else
bool onednn_has(OnednnGemm, at::ScalarType) { return false; }
bool onednn_multiply(OnednnGemm, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) { return false; }
#endif

}  // namespace tpsp
