// What this rank's share of the machine can do at best: the two lines of a roofline.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace tpsp {

struct Peaks {
  double gemm_flops_per_s = 0;
  std::string gemm_kernel;  ///< the kernel that reached it, as to_string names it
  double memory_bytes_per_s = 0;
};

/// Measures, within some two seconds on a CPU core:
/// - the best rate of the best kernel over a few large products, the best of several tries;
/// - bytes read and written per second by a copy or by a sum of two arrays, whichever is more, the median of several
///   tries. The arrays take 256 MB; where the last-level cache is larger than that, this is its bandwidth.
///
/// What ranks share shows only while they all measure: `together`, a barrier of the caller's, is called twice, before
/// each of the two.
Peaks measure_peaks(at::ScalarType dtype, at::Device device, const std::function<void()>& together = {});

}  // namespace tpsp
