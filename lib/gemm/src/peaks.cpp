#include "tpsp/gemm/peaks.h"

#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "onednn_linear.h"
#include "timing.h"
#include "tpsp/core/error.h"
#include "tpsp/gemm/weight.h"

namespace tpsp {
namespace {

using Multiplication = std::function<void()>;

/// What a GEMM reads.
struct Operands {
  at::Tensor x;       ///< `[m, k]`
  at::Tensor weight;  ///< `[n, k]`
};

/// Something that multiplies, made ready for its operands.
struct Kernel {
  std::string name;
  LinearGemm gemm;
  std::function<Multiplication(const Operands&)> prepare;
};

Multiplication with_weight(GemmKernel kernel, const Operands& operands) {
  const auto packed = std::make_shared<const GemmWeight>(operands.weight, kernel);
  const auto out = at::empty({operands.x.size(0), operands.weight.size(0)}, operands.x.options());
  return [=, x = operands.x] { packed->multiply(x, out); };
}

Multiplication of_gradient(GemmKernel kernel, LinearGemm gemm, const Operands& operands) {
  const auto& [x, weight] = operands;
  const auto kept = std::make_shared<const GemmWeight>(weight_with(kernel, gemm, weight));
  const auto gradient = numbers(x.size(0), weight.size(0), x.scalar_type(), x.device());
  if (gemm == LinearGemm::input_gradient) {
    return [=, out = at::empty_like(x)] { kept->multiply_input_gradient(gradient, out); };
  }
  return [=, input = x, out = at::empty_like(weight)] {
    kept->multiply_weight_gradient(gradient, input, out, /*adds=*/false);
  };
}

std::vector<Kernel> kernels_at_hand(at::ScalarType dtype, at::Device device, bool backward) {
  std::vector<Kernel> kernels;
  const auto add = [&](GemmKernel kernel) {
    kernels.push_back({std::string(to_string(kernel)), LinearGemm::forward,
                       [kernel](const Operands& operands) { return with_weight(kernel, operands); }});
  };
  for (const auto kernel : packed_kernels(dtype, device)) add(kernel);
  if (device.is_cpu() && has_onednn_linear(dtype)) {
    kernels.push_back({"onednn-linear", LinearGemm::forward,
                       [](const Operands& operands) { return onednn_linear(operands.x, operands.weight); }});
  }
  if (!backward) return kernels;
  for (const auto kernel : plain_kernels(dtype, device)) {
    if (kernel != GemmKernel::plain) add(kernel);  // which is there already
    for (const auto gemm : {LinearGemm::input_gradient, LinearGemm::weight_gradient}) {
      kernels.push_back({fmt::format("{}:{}", to_string(kernel), to_string(gemm)), gemm,
                         [=](const Operands& operands) { return of_gradient(kernel, gemm, operands); }});
    }
  }
  return kernels;
}

std::vector<ProductSize> sizes_to_try(const std::vector<ProductSize>& asked, LinearGemm gemm, at::Device device) {
  if (!device.is_cpu()) {
    std::vector<ProductSize> sizes{{8192, 8192, 8192}, {4096, 8192, 4096}};
    sizes.insert(sizes.end(), asked.begin(), asked.end());
    return sizes;
  }
  constexpr double most_flops = 2e9;
  std::set<ProductSize> sizes{{512, 1024, 1024}, {512, 2048, 2048}};
  for (const auto& size : asked) sizes.insert(part_of(gemm, size, most_flops));
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

Operands operands_of(const ProductSize& size, at::ScalarType dtype, at::Device device) {
  return {.x = numbers(size.m, size.k, dtype, device), .weight = numbers(size.n, size.k, dtype, device)};
}

// Of a call among so many, one after the other, that they take some seconds together: what a GPU keeps up.
template <typename Function>
double sustained_seconds_of(const Function& call, double seconds, at::Device device) {
  constexpr double enough = 0.9;  // of the seconds
  call();
  for (double calls = 1;;) {
    const auto spent_s = synchronized_seconds_of(
        [&] {
          for (double done = 0; done < calls; ++done) call();
        },
        device);
    if (spent_s >= enough * seconds) return spent_s / calls;
    calls = std::ceil(calls * std::min(10.0, 1.1 * seconds / spent_s));
  }
}

// The best of the calls that begin within some seconds, one at least, after a first; on a GPU their mean.
double best_rate(const Candidate& candidate, const Operands& operands, double seconds, at::Device device) {
  const auto& size = candidate.size;
  const auto multiply = candidate.kernel->prepare(operands);
  const auto flops = product_flops(size.m, size.n, size.k);
  if (!device.is_cpu()) return flops / sustained_seconds_of(multiply, seconds, device);
  multiply();
  double best_s = synchronized_seconds_of(multiply, device);
  for (double spent_s = best_s; spent_s < seconds;) {
    const auto call_s = synchronized_seconds_of(multiply, device);
    best_s = std::min(best_s, call_s);
    spent_s += call_s;
  }
  return flops / best_s;
}

// Every kernel with every size once; the fastest ones first, as far as they may be the best.
std::vector<Candidate> first_candidates(const std::vector<Kernel>& kernels, const PeakSearch& search,
                                        at::ScalarType dtype, at::Device device) {
  constexpr double near_the_best = 0.75;
  constexpr std::size_t most = 16;
  std::vector<Candidate> candidates;
  for (const auto& kernel : kernels) {
    for (const auto& size : sizes_to_try(search.sizes, kernel.gemm, device)) {
      auto& candidate = candidates.emplace_back(Candidate{.kernel = &kernel, .size = size});
      candidate.flops_per_s = best_rate(candidate, operands_of(size, dtype, device), 0, device);
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.flops_per_s > b.flops_per_s; });
  const double least = near_the_best * candidates.front().flops_per_s;
  std::erase_if(candidates, [&](const Candidate& one) { return one.flops_per_s < least; });
  candidates.resize(std::min(candidates.size(), most));
  return candidates;
}

void measure_products(Peaks& peaks, const PeakSearch& search, at::ScalarType dtype, at::Device device) {
  const auto kernels = kernels_at_hand(dtype, device, search.backward);
  for (const auto& candidate : first_candidates(kernels, search, dtype, device)) {
    const auto rate = std::max(candidate.flops_per_s, best_rate(candidate, operands_of(candidate.size, dtype, device),
                                                                search.seconds_each, device));
    if (rate <= peaks.gemm_flops_per_s) continue;
    peaks.gemm_flops_per_s = rate;
    peaks.gemm_kernel = candidate.kernel->name;
    peaks.gemm_size = candidate.size;
    peaks.measured_flops_per_s = rate;
  }
}

// The median of five calls, after a first; on a GPU what it keeps up.
template <typename Function>
double usual_seconds_of(const Function& call, at::Device device) {
  constexpr int calls = 5;
  constexpr double seconds_on_gpu = 0.3;
  if (!device.is_cpu()) return sustained_seconds_of(call, seconds_on_gpu, device);
  call();
  std::vector<double> samples;
  for (int i = 0; i < calls; ++i) samples.push_back(synchronized_seconds_of(call, device));
  return middle(samples);
}

double memory_rate(at::Device device) {
  constexpr std::int64_t on_cpu = 256'000'000;
  constexpr std::int64_t on_gpu = 3'000'000'000;  // caches have up to 100 MB
  const auto numbers_each = (device.is_cpu() ? on_cpu : on_gpu) / 3 / std::int64_t{sizeof(float)};
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
