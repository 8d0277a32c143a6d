// Choice of the fastest GEMM kernel by measurement.
#pragma once

#include <vector>

#include "tpsp/gemm/peaks.h"
#include "tpsp/gemm/weight.h"

namespace tpsp {

/// Seconds that each kernel takes on this rank's CPU threads for a GEMM of `[m, k]` with a weight `[n, k]`, so that
/// ranks can agree on one: nine calls of each after a warm-up, interleaved, so that the i-th samples of two kernels are
/// a pair. Of a large GEMM's result some rows and columns are computed (at most 512 rows, and some 20 ms of a core that
/// does 150 GFLOP/s), and the time is scaled up. Throws what GemmWeight does, and bad_input for a size below one.
std::vector<std::vector<double>> time_kernels(const std::vector<GemmKernel>& kernels, LinearGemm gemm,
                                              const ProductSize& size, at::ScalarType dtype);

}  // namespace tpsp
