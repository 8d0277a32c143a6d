// What LibTorch's CPU allocator is asked for while a function runs.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>

#include <atomic>
#include <cstddef>

namespace tpsp {

/// Passes everything on to the allocator that was there, and adds up the bytes.
class AddingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    bytes_ += bytes;
    return inner_->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

  std::size_t bytes() const { return bytes_; }

 private:
  c10::Allocator* inner_ = c10::GetAllocator(c10::kCPU);
  std::atomic<std::size_t> bytes_ = 0;
};

/// Bytes of CPU memory that LibTorch hands out while `function` runs.
template <typename Function>
std::size_t allocated_by(Function&& function) {
  static auto* const allocator = [] {
    auto* const made = new AddingAllocator;  // tensors may live until the process ends
    c10::SetAllocator(c10::kCPU, made, /*priority=*/255);
    return made;
  }();
  const auto before = allocator->bytes();
  function();
  return allocator->bytes() - before;
}

}  // namespace tpsp
