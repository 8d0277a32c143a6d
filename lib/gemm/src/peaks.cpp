#include "tpsp/gemm/peaks.h"

#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "onednn_linear.h"
#include "timing.h"
#include "tpsp/core/error.h"
#include "tpsp/gemm/weight.h"

namespace tpsp {
namespace {

using Multiplication = std::function<void()>;

/// Something that multiplies, made ready for one weight.
struct Kernel {
  std::string name;
  std::function<Multiplication(const at::Tensor& x, const at::Tensor& weight)> prepare;
};

Multiplication with_weight(GemmKernel kernel, const at::Tensor& x, const at::Tensor& weight) {
  const auto packed = std::make_shared<const GemmWeight>(weight, kernel);
  const auto out = at::empty({x.size(0), weight.size(0)}, x.options());
  return [=] { packed->multiply(x, out); };
}

// The gradient of `weight`, whose own values do not count.
Multiplication with_weight_gradient(GemmKernel kernel, const at::Tensor& x, const at::Tensor& weight) {
  GemmKernels kernels;
  kernels.weight_gradient = kernel;
  const auto kept = std::make_shared<const GemmWeight>(weight, kernels);
  const auto gradient = numbers(x.size(0), weight.size(0), x.scalar_type(), x.device());
  const auto out = at::empty_like(weight);
  return [=] { kept->multiply_weight_gradient(gradient, x, out, /*adds=*/false); };
}

std::vector<Kernel> kernels_at_hand(at::ScalarType dtype, at::Device device, bool backward) {
  std::vector<Kernel> kernels;
  for (const auto kernel : packed_kernels(dtype, device)) {
    kernels.push_back({std::string(to_string(kernel)), [kernel](const at::Tensor& x, const at::Tensor& weight) {
                         return with_weight(kernel, x, weight);
                       }});
  }
  if (device.is_cpu() && has_onednn_linear(dtype)) kernels.push_back({"onednn-linear", onednn_linear});
  if (!backward) return kernels;
  for (const auto kernel : plain_kernels(dtype, device)) {
    kernels.push_back(
        {fmt::format("{}:{}", to_string(kernel), to_string(LinearGemm::weight_gradient)),
         [kernel](const at::Tensor& x, const at::Tensor& weight) { return with_weight_gradient(kernel, x, weight); }});
  }
  return kernels;
}

std::vector<ProductSize> sizes_to_try(const std::vector<ProductSize>& asked, at::Device device) {
  if (!device.is_cpu()) {
    std::vector<ProductSize> sizes{{8192, 8192, 8192}, {4096, 8192, 4096}};
    sizes.insert(sizes.end(), asked.begin(), asked.end());
    return sizes;
  }
  constexpr double most_flops = 2e9;
  std::set<ProductSize> sizes{{512, 1024, 1024}, {512, 2048, 2048}};
  for (const auto& size : asked) sizes.insert(part_of(size, most_flops));
  return {sizes.begin(), sizes.end()};
}

void synchronize(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeDevice(device.has_index() ? device.index() : guard.getDevice().index());
}

template <typename Function>
double synchronized_seconds_of(const Function& call, at::Device device) {
  synchronize(device);
  return seconds_of([&] {
    call();
    synchronize(device);
  });
}

struct Candidate {
  const Kernel* kernel;
  ProductSize size;
  double flops_per_s = 0;
};

struct Operands {
  at::Tensor x;
  at::Tensor weight;
};

Operands operands_of(const ProductSize& size, at::ScalarType dtype, at::Device device) {
  return {.x = numbers(size.m, size.k, dtype, device), .weight = numbers(size.n, size.k, dtype, device)};
}

// The best of the calls that begin within some seconds, one at least, after a first.
double best_rate(const Candidate& candidate, const Operands& operands, double seconds, at::Device device) {
  const auto& size = candidate.size;
  const auto multiply = candidate.kernel->prepare(operands.x, operands.weight);
  multiply();
  double best_s = synchronized_seconds_of(multiply, device);
  for (double spent_s = best_s; spent_s < seconds;) {
    const auto call_s = synchronized_seconds_of(multiply, device);
    best_s = std::min(best_s, call_s);
    spent_s += call_s;
  }
  return product_flops(size.m, size.n, size.k) / best_s;
}

void measure_products(Peaks& peaks, const PeakSearch& search, at::ScalarType dtype, at::Device device) {
  constexpr double near_the_best = 0.75;
  const auto kernels = kernels_at_hand(dtype, device, search.backward);
  std::vector<Candidate> candidates;
  double first_best = 0;
  for (const auto& size : sizes_to_try(search.sizes, device)) {
    const auto operands = operands_of(size, dtype, device);
    for (const auto& kernel : kernels) {
      auto& candidate = candidates.emplace_back(Candidate{.kernel = &kernel, .size = size});
      candidate.flops_per_s = best_rate(candidate, operands, 0, device);
      first_best = std::max(first_best, candidate.flops_per_s);
    }
  }
  for (const auto& candidate : candidates) {
    if (candidate.flops_per_s < near_the_best * first_best) continue;
    const auto rate = std::max(candidate.flops_per_s, best_rate(candidate, operands_of(candidate.size, dtype, device),
                                                                search.seconds_each, device));
    if (rate <= peaks.gemm_flops_per_s) continue;
    peaks.gemm_flops_per_s = rate;
    peaks.gemm_kernel = candidate.kernel->name;
    peaks.gemm_size = candidate.size;
    peaks.measured_flops_per_s = rate;
  }
}

// The median of five calls, after a first.
template <typename Function>
double usual_seconds_of(const Function& call, at::Device device) {
  constexpr int calls = 5;
  call();
  std::vector<double> samples;
  for (int i = 0; i < calls; ++i) samples.push_back(synchronized_seconds_of(call, device));
  return middle(samples);
}

double memory_rate(at::Device device) {
  constexpr std::int64_t bytes = 256'000'000;
  constexpr std::int64_t numbers_each = bytes / 3 / std::int64_t{sizeof(float)};
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto first = at::ones({numbers_each}, options);
  const auto second = at::ones({numbers_each}, options);
  auto third = at::zeros({numbers_each}, options);
  const auto array_bytes = static_cast<double>(first.nbytes());
  const auto copy = 2 * array_bytes / usual_seconds_of([&] { third.copy_(first); }, device);
  const auto sum = 3 * array_bytes / usual_seconds_of([&] { at::add_out(third, first, second); }, device);
  return std::max(copy, sum);
}

}  // namespace

Peaks measure_peaks(at::ScalarType dtype, at::Device device, const PeakSearch& search,
                    const std::function<void()>& together) {
  const c10::InferenceMode no_gradients;
  Peaks peaks;
  if (together) together();
  measure_products(peaks, search, dtype, device);
  if (together) together();
  peaks.memory_bytes_per_s = memory_rate(device);
  return peaks;
}

double measure_gemm_rate(const std::string& kernel, const ProductSize& size, double seconds, at::ScalarType dtype,
                         at::Device device) {
  const c10::InferenceMode no_gradients;
  const auto kernels = kernels_at_hand(dtype, device, /*backward=*/true);
  const auto found =
      std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& one) { return one.name == kernel; });
  if (found == kernels.end())
    throw bad_input({.where = "GEMM", .what = fmt::format("there is no kernel '{}'", kernel)});
  return best_rate({.kernel = &*found, .size = size}, operands_of(size, dtype, device), seconds, device);
}

}  // namespace tpsp
