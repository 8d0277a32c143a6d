#include "onednn_as_it_lies.h"
#ifdef TPSP_WITH_ONEDNN
#include <ATen/Parallel.h>

#include <array>
#include <map>
#include <optional>
#include <tuple>

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

/// All that a matmul is prepared for.
using Key = std::tuple<at::ScalarType, bool, int, std::array<std::int64_t, 9>>;

Key key_of(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  return {a.scalar_type(),
          adds,
          at::get_num_threads(),
          {a.size(0), a.size(1), b.size(1), a.stride(0), a.stride(1), b.stride(0), b.stride(1), out.stride(0),
           out.stride(1)}};
}

// Nothing where oneDNN has plain loops alone.
std::optional<Matmul> prepare(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  if (!is_version_of_header()) return std::nullopt;
  dnnl::primitive_attr attributes;
  if (adds) {
    dnnl::post_ops sum;
    sum.append_sum(1);
    attributes.set_post_ops(sum);
  }
  try {
    const Matmul::primitive_desc description(engine(), layout_of(a), layout_of(b), layout_of(out), attributes);
    if (is_a_kernel(description)) return Matmul(description);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw;
  }
  return std::nullopt;
}

// A step has a few shapes, and makes its matmuls once.
const std::optional<Matmul>& prepared(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  thread_local std::map<Key, std::optional<Matmul>> all;
  const auto key = key_of(a, b, out, adds);
  auto found = all.find(key);
  if (found == all.end()) found = all.emplace(key, prepare(a, b, out, adds)).first;
  return found->second;
}

}  // namespace
}  // namespace onednn

bool onednn_multiply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  const bool known = a.scalar_type() == at::kFloat || a.scalar_type() == at::kBFloat16;
  if (!a.is_cpu() || !known) return false;
  at::internal::lazy_init_num_threads();  // a thread's first GEMM sets how many threads it uses
  bool done = false;
  onednn::with_bad_alloc([&] {
    const auto& matmul = onednn::prepared(a, b, out, adds);
    if (!matmul) return;
    dnnl::stream stream(onednn::engine());
    matmul->execute(stream, {{DNNL_ARG_SRC, onednn::memory_of(a)},
                             {DNNL_ARG_WEIGHTS, onednn::memory_of(b)},
                             {DNNL_ARG_DST, onednn::memory_of(out)}});
    stream.wait();
    done = true;
  });
  return done;
}
#else
bool onednn_multiply(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) { return false; }
#endif

}  // namespace tpsp
