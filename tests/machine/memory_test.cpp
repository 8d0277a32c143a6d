#include "tpsp/machine/memory.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <barrier>
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using namespace tpsp;

namespace {

at::Tensor kilobytes(std::int64_t count) { return at::empty({count * 1000}, at::kChar); }

}  // namespace

TEST_CASE("a meter counts tensors that live") {
  const AllocationMeter meter(at::kCPU);
  const auto kept = kilobytes(30);
  CHECK(meter.current_bytes() == 30'000);
  {
    const auto dropped = kilobytes(50);
    CHECK(meter.current_bytes() == 80'000);
  }
  CHECK(meter.current_bytes() == 30'000);
}

TEST_CASE("a meter keeps the peak until it is reset to what lives") {
  AllocationMeter meter(at::kCPU);
  const auto kept = kilobytes(30);
  kilobytes(50);
  CHECK(meter.peak_bytes() == 80'000);
  meter.reset_peak();
  CHECK(meter.peak_bytes() == 30'000);
  kilobytes(10);
  CHECK(meter.peak_bytes() == 40'000);
}

TEST_CASE("a view takes no memory") {
  const AllocationMeter meter(at::kCPU);
  const auto full = kilobytes(30);
  const auto view = full.narrow(0, 10, 10'000);
  CHECK(meter.current_bytes() == 30'000);
}

TEST_CASE("counted memory keeps LibTorch's alignment") {
  const AllocationMeter meter(at::kCPU);
  for (const std::int64_t size : {1, 63, 64, 4096}) {
    CHECK(reinterpret_cast<std::uintptr_t>(at::empty({size}, at::kChar).data_ptr()) % 64 == 0);
  }
}

TEST_CASE("a tensor may outlive its meter") {
  auto meter = std::make_unique<AllocationMeter>(at::kCPU);
  auto tensor = at::full({1000}, 3.0F);
  meter.reset();
  CHECK(tensor.sum().item<float>() == 3000.0F);
  tensor.reset();
}

TEST_CASE("a tensor made before the meter is not counted, also when it goes") {
  auto tensor = kilobytes(30);
  const AllocationMeter meter(at::kCPU);
  tensor.reset();
  CHECK(meter.current_bytes() == 0);
}

TEST_CASE("nested meters both count, and the inner one only from where it starts") {
  const AllocationMeter outer(at::kCPU);
  const auto first = kilobytes(30);
  const AllocationMeter inner(at::kCPU);
  const auto second = kilobytes(20);
  CHECK(outer.current_bytes() == 50'000);
  CHECK(inner.current_bytes() == 20'000);
}

TEST_CASE("meters may end in any order") {
  auto first = std::make_unique<AllocationMeter>(at::kCPU);
  auto second = std::make_unique<AllocationMeter>(at::kCPU);
  auto tensor = kilobytes(30);
  first.reset();
  const auto more = kilobytes(10);
  CHECK(second->current_bytes() == 40'000);
  tensor.reset();
  CHECK(second->current_bytes() == 10'000);
}

TEST_CASE("threads with a meter each count their own tensors") {
  constexpr int threads = 4;
  std::barrier everyone(threads);
  std::vector<std::int64_t> peaks(threads);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < threads; ++rank) {
    ranks.emplace_back([&, rank] {
      const AllocationMeter meter(at::kCPU);
      everyone.arrive_and_wait();
      for (int i = 0; i < 200; ++i) kilobytes(rank + 1);
      everyone.arrive_and_wait();
      peaks[static_cast<std::size_t>(rank)] = meter.peak_bytes();
    });
  }
  for (auto& rank : ranks) rank.join();
  CHECK(peaks == std::vector<std::int64_t>{1000, 2000, 3000, 4000});
}

TEST_CASE("a thread without a meter counts for the meters there are") {
  const AllocationMeter meter(at::kCPU);
  at::Tensor tensor;
  std::thread([&] { tensor = kilobytes(30); }).join();
  CHECK(meter.current_bytes() == 30'000);
}

TEST_CASE("a bf16 GEMM works while a meter lives, scratch memory included") {
  const AllocationMeter meter(at::kCPU);
  for (const std::int64_t size : {3, 64, 257}) {
    const auto a = at::ones({size, 96}, at::kBFloat16);
    const auto b = at::ones({512, 96}, at::kBFloat16);
    CHECK(at::mm(a, b.t()).to(at::kFloat).mean().item<float>() == 96.0F);
  }
  CHECK(meter.current_bytes() == 0);
}

TEST_CASE("raw memory taken under a meter may be given back after it") {
  auto meter = std::make_unique<AllocationMeter>(at::kCPU);
  void* const scratch = c10::GetAllocator(at::kCPU)->raw_allocate(4096);
  meter.reset();
  std::memset(scratch, 1, 4096);
  c10::GetAllocator(at::kCPU)->raw_deallocate(scratch);
  const AllocationMeter later(at::kCPU);
  CHECK(later.current_bytes() == 0);
}

TEST_CASE("meta tensors are counted though they have no bytes") {
  AllocationMeter meter(at::kMeta);
  const auto options = at::TensorOptions(at::kFloat).device(at::kMeta);
  const auto kept = at::empty({1000, 1000}, options);
  at::mm(kept, kept);
  CHECK(meter.current_bytes() == 4'000'000);
  CHECK(meter.peak_bytes() == 8'000'000);
}

TEST_CASE("a meter of meta tensors counts no others") {
  const AllocationMeter meter(at::kMeta);
  const auto tensor = kilobytes(30);
  CHECK(meter.peak_bytes() == 0);
}

TEST_CASE("the peak resident set grows with touched memory and can be reset") {
  constexpr std::int64_t size = 200'000'000;
  malloc_trim(0);  // where a probe has configured glibc to keep freed memory
  reset_peak_resident();
  const auto before = peak_resident_bytes();
  REQUIRE(before > 0);
  at::ones({size}, at::kChar);
  const auto with_tensor = peak_resident_bytes();
  CHECK(with_tensor - before > size * 9 / 10);
  malloc_trim(0);
  reset_peak_resident();
  CHECK(with_tensor - peak_resident_bytes() > size * 9 / 10);
}
