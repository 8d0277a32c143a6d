// Peak rates of this rank's share of the machine: the two lines of a roofline.
#pragma once

#include <ATen/core/Tensor.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tpsp {

/// `[m, k]` times a weight `[n, k]`.
struct ProductSize {
  std::int64_t m, n, k;

  auto operator<=>(const ProductSize&) const = default;
};

struct Peaks {
  double gemm_flops_per_s = 0;
  std::string gemm_kernel;          ///< that reached it: "onednn", "onednn-linear", "onednn-jit:weight-gradient", ...
  ProductSize gemm_size{};          ///< with which it did
  double measured_flops_per_s = 0;  ///< what it reached; less than the peak where a forward was faster
  double memory_bytes_per_s = 0;
};

/// What measure_peaks tries, and for how long.
struct PeakSearch {
  std::vector<ProductSize> sizes{};  ///< added to a few large ones, so that no GEMM of a run exceeds the peak
  double seconds_each = 0.5;         ///< of each candidate that may be the best, a kernel with a size
  bool backward = false;             ///< a training step's GEMMs too, so that none of those does either
};

/// Measures, within some seconds on a CPU core:
/// - the best rate of a GEMM over all available kernels: those of packed_kernels, oneDNN's linear layer, which returns
///   new memory and so is not one of those, and with `backward` those of plain_kernels for the forward and for either
///   gradient. Every kernel runs once with every size; of those within a quarter of the best the sixteen fastest are
///   repeated for `seconds_each`. Of large GEMMs a part is timed;
/// - bytes read and written per second by a copy or by a sum of two arrays, whichever is more, the median of several
///   tries. The arrays take 256 MB; where the last-level cache is larger than that, this is its bandwidth.
///
/// On a GPU rates are means of calls in a row, for `seconds_each` and for 0.3 s: what it keeps up when it is warm. Its
/// arrays take 3 GB.
///
/// Contention shows only while all ranks measure at once: `together`, a barrier of the caller's, is called before each
/// of the two.
Peaks measure_peaks(at::ScalarType dtype, at::Device device, const PeakSearch& search = {},
                    const std::function<void()>& together = {});

/// The best rate of `kernel`, named as in Peaks, with one size within `seconds`: to see whether a peak still holds.
/// Throws bad_input for a kernel that is not here.
double measure_gemm_rate(const std::string& kernel, const ProductSize& size, double seconds, at::ScalarType dtype,
                         at::Device device);

}  // namespace tpsp
