#include "tpsp/gemm/product.h"

#include "tpsp/core/error.h"
#ifdef TPSP_WITH_ONEDNN
#include <omp.h>

#include <map>

#include "onednn.h"
#endif

namespace tpsp {

#ifdef TPSP_WITH_ONEDNN
namespace onednn {
namespace {

Matmul::primitive_desc describe(const Product& product) {
  const auto type = type_of(product.dtype);
  const auto y = product.transposed ? Layout({product.k, product.n}, type, dnnl::memory::dims{1, product.k})
                                    : dense_rows(product.k, product.n, type);
  return {engine(), dense_rows(product.rows, product.k, type), y, dense_rows(product.rows, product.n, Type::f32)};
}

/// oneDNN divides a product among the threads that there are when it is prepared, and gives it the scratch memory of
/// the thread that prepares it.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

class Prepared {
 public:
  explicit Prepared(const Matmul::primitive_desc& description)
      : matmul_(description),
        x_(description.src_desc(), engine(), nullptr),
        y_(description.weights_desc(), engine(), nullptr),
        out_(description.dst_desc(), engine(), nullptr) {}

  void run(const void* x, const void* y, float* out) {
    x_.set_data_handle(const_cast<void*>(x));
    y_.set_data_handle(const_cast<void*>(y));
    out_.set_data_handle(out);
    dnnl::stream stream(engine());
    matmul_.execute(stream, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, y_}, {DNNL_ARG_DST, out_}});
    stream.wait();
  }

 private:
  Matmul matmul_;
  dnnl::memory x_;
  dnnl::memory y_;
  dnnl::memory out_;
};

Prepared& prepared(const Product& product) {
  thread_local std::map<Product, Prepared> all;
  auto found = all.find(product);
  if (found == all.end()) {
    const OneThread alone;
    found = all.emplace(product, Prepared(describe(product))).first;
  }
  return found->second;
}

bool has_kernel(at::ScalarType dtype) {
  if (!is_version_of_header()) return false;
  const Product scores{.rows = 64, .n = 200, .k = 128, .transposed = true, .dtype = dtype};
  const Product mixed{.rows = 64, .n = 128, .k = 200, .transposed = false, .dtype = dtype};
  try {
    return is_a_kernel(describe(scores)) && is_a_kernel(describe(mixed));
  } catch (const dnnl::error&) {
    return false;
  }
}

}  // namespace
}  // namespace onednn

bool has_product(at::ScalarType dtype) {
  static const bool fp32 = onednn::has_kernel(at::kFloat);
  static const bool bf16 = onednn::has_kernel(at::kBFloat16);
  return dtype == at::kFloat ? fp32 : dtype == at::kBFloat16 && bf16;
}

void multiply(const Product& product, const void* x, const void* y, float* out) {
  onednn::with_bad_alloc([&] { onednn::prepared(product).run(x, y, out); });
}
#else
bool has_product(at::ScalarType) { return false; }
void multiply(const Product&, const void*, const void*, float*) {
  throw bad_input({.where = "GEMM", .what = "this build has no oneDNN"});
}
#endif

}  // namespace tpsp
