#include "tpsp/gemm/peaks.h"

#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "timing.h"
#include "tpsp/gemm/weight.h"

namespace tpsp {
namespace {

struct Product {
  std::int64_t m, n, k;
};

std::vector<Product> large_products(at::Device device) {
  if (device.is_cpu()) return {{512, 4096, 2048}, {512, 2048, 4096}};
  return {{8192, 8192, 8192}, {4096, 8192, 4096}};
}

constexpr int tries = 5;

void synchronize(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeDevice(device.has_index() ? device.index() : guard.getDevice().index());
}

// Seconds of each of `tries` calls, after a first.
template <typename Function>
std::vector<double> repeated(const Function& call, at::Device device) {
  std::vector<double> samples;
  for (int i = 0; i <= tries; ++i) {
    synchronize(device);
    samples.push_back(seconds_of([&] {
      call();
      synchronize(device);
    }));
  }
  samples.erase(samples.begin());
  return samples;
}

double best_rate(GemmKernel kernel, const Product& size, at::ScalarType dtype, at::Device device) {
  const GemmWeight weight(numbers(size.n, size.k, dtype, device), kernel);
  const auto x = numbers(size.m, size.k, dtype, device);
  const auto out = at::empty({size.m, size.n}, x.options());
  const auto samples = repeated([&] { weight.multiply(x, out); }, device);
  return product_flops(size.m, size.n, size.k) / *std::min_element(samples.begin(), samples.end());
}

void measure_products(Peaks& peaks, at::ScalarType dtype, at::Device device) {
  for (const auto kernel : packed_kernels(dtype, device)) {
    for (const auto& size : large_products(device)) {
      const auto rate = best_rate(kernel, size, dtype, device);
      if (rate <= peaks.gemm_flops_per_s) continue;
      peaks.gemm_flops_per_s = rate;
      peaks.gemm_kernel = to_string(kernel);
    }
  }
}

double memory_rate(at::Device device) {
  constexpr std::int64_t bytes = 256'000'000;
  constexpr std::int64_t numbers_each = bytes / 3 / std::int64_t{sizeof(float)};
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto first = at::ones({numbers_each}, options);
  const auto second = at::ones({numbers_each}, options);
  auto third = at::zeros({numbers_each}, options);
  const auto array_bytes = static_cast<double>(first.nbytes());
  const auto copy = 2 * array_bytes / middle(repeated([&] { third.copy_(first); }, device));
  const auto sum = 3 * array_bytes / middle(repeated([&] { at::add_out(third, first, second); }, device));
  return std::max(copy, sum);
}

}  // namespace

Peaks measure_peaks(at::ScalarType dtype, at::Device device, const std::function<void()>& together) {
  const c10::InferenceMode no_gradients;
  Peaks peaks;
  if (together) together();
  measure_products(peaks, dtype, device);
  if (together) together();
  peaks.memory_bytes_per_s = memory_rate(device);
  return peaks;
}

}  // namespace tpsp
