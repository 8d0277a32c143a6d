// The GEMM of two activations: what attention is made of.
#pragma once

#include <c10/core/ScalarType.h>

#include <compare>
#include <cstdint>

namespace tpsp {

/// x `[rows, k]` times y, `[k, n]`, or `[n, k]` where y is transposed. No gaps between rows. x and y are fp32 or bf16.
struct Product {
  std::int64_t rows = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  bool transposed = false;
  at::ScalarType dtype = at::kFloat;

  auto operator<=>(const Product&) const = default;
};

/// Whether this build and CPU have a kernel for it: oneDNN's matmul, which takes both matrices as they are.
bool has_product(at::ScalarType dtype);

/// Writes x times y to `out`, fp32 `[rows, n]`, on the calling thread alone. Several threads may call it at a time;
/// each keeps what it has prepared for a product. Throws std::bad_alloc where oneDNN lacks memory.
void multiply(const Product& product, const void* x, const void* y, float* out);

}  // namespace tpsp
