// MKL's packed GEMM functions as libtorch_cpu.so exports them: 32-bit sizes, and no header.
#pragma once

#include <cstddef>

inline constexpr int mkl_row_major = 101;
inline constexpr int mkl_as_it_is = 111;
inline constexpr int mkl_transposed = 112;
inline constexpr int mkl_packed = 151;
inline constexpr int mkl_right_matrix = 162;

extern "C" {

/// Bytes of a packed `[k, n]` right matrix.
std::size_t cblas_sgemm_pack_get_size(int matrix, int m, int n, int k);
/// `packed` becomes alpha * source.
void cblas_sgemm_pack(int layout, int matrix, int transposition, int m, int n, int k, float alpha, const float* source,
                      int row_stride, float* packed);
/// c becomes a b + beta c.
void cblas_sgemm_compute(int layout, int a_form, int b_form, int m, int n, int k, const float* a, int a_row_stride,
                         const float* b, int b_row_stride, float beta, float* c, int c_row_stride);

}  // extern "C"
