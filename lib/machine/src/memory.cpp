#include "tpsp/machine/memory.h"

#include <c10/core/Allocator.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tpsp {

class AllocationCounters {
 public:
  std::thread::id thread() const { return thread_; }
  MemorySplit current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  MemorySplit peak() const {
    const std::lock_guard lock(mutex_);
    return peak_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    peak_ = current_;
  }
  void add(std::int64_t bytes, MemoryUse use) {
    const std::lock_guard lock(mutex_);
    current_[use] += bytes;
    if (current_.total() > peak_.total()) peak_ = current_;
  }
  void remove(std::int64_t bytes, MemoryUse use) {
    const std::lock_guard lock(mutex_);
    current_[use] -= bytes;
  }

 private:
  std::thread::id thread_ = std::this_thread::get_id();
  mutable std::mutex mutex_;
  MemorySplit current_;
  MemorySplit peak_;
};

namespace {

using Listeners = std::vector<std::shared_ptr<AllocationCounters>>;

// What stands before each tensor's bytes, and is freed with them. It keeps the counters alive beyond their meter.
struct Header {
  c10::DataPtr memory;
  std::int64_t bytes;
  MemoryUse use;
  Listeners listeners;

  void count() const {
    for (const auto& listener : listeners) listener->add(bytes, use);
  }
  void uncount() const {
    for (const auto& listener : listeners) listener->remove(bytes, use);
  }
};
constexpr std::size_t header_room = 128;  // keeps the alignment of LibTorch's own allocator
static_assert(sizeof(Header) <= header_room);

void free_bytes(void* data) {
  auto* const header = reinterpret_cast<Header*>(static_cast<std::byte*>(data) - header_room);
  header->uncount();
  const auto memory = std::move(header->memory);  // freed last: the header lies in it
  header->~Header();
}

// Of memory without a header before it: meta tensors, and what another allocator gave.
void forget_bytes(void* context) {
  const std::unique_ptr<Header> header(static_cast<Header*>(context));
  header->uncount();
}

/// LibTorch's allocator of one device type with a header before each tensor. Once there it stays, since memory taken
/// without a DataPtr (oneDNN's scratch) is given back to whichever allocator is registered then.
class CountingAllocator final : public c10::Allocator, public MemoryCounter {
 public:
  explicit CountingAllocator(c10::DeviceType type) : type_(type), inner_(c10::GetAllocator(type)) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    const bool meta = type_ == c10::kMeta;
    auto memory = inner_->allocate(meta ? bytes : bytes + header_room);
    const auto device = memory.device();
    auto* const start = static_cast<std::byte*>(memory.get());
    Header header{std::move(memory), static_cast<std::int64_t>(bytes), current_memory_use(), listeners()};
    header.count();
    if (meta) return {nullptr, new Header(std::move(header)), &forget_bytes, device};
    new (start) Header(std::move(header));
    return {start + header_room, start + header_room, &free_bytes, device};
  }
  std::shared_ptr<void> count(std::int64_t bytes) override {
    auto header = std::make_unique<Header>(Header{{}, bytes, current_memory_use(), listeners()});
    header->count();
    return {header.release(), &forget_bytes};
  }
  void recount(void* context, void (*deleter)(void*), MemoryUse from, MemoryUse to) override {
    Header* header = nullptr;
    if (deleter == &forget_bytes) header = static_cast<Header*>(context);
    if (deleter == &free_bytes) header = reinterpret_cast<Header*>(static_cast<std::byte*>(context) - header_room);
    if (header == nullptr || header->use != from) return;
    header->uncount();
    header->use = to;
    header->count();
  }
  c10::DeleterFnPtr raw_deleter() const override { return type_ == c10::kMeta ? nullptr : &free_bytes; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

  void attach(std::shared_ptr<AllocationCounters> meter) {
    const std::lock_guard lock(mutex_);
    meters_.push_back(std::move(meter));
  }
  void detach(const std::shared_ptr<AllocationCounters>& meter) {
    const std::lock_guard lock(mutex_);
    std::erase(meters_, meter);
  }

 private:
  // The meters of this thread, or all of them in a thread that has none.
  Listeners listeners() const {
    const std::lock_guard lock(mutex_);
    Listeners mine;
    std::copy_if(meters_.begin(), meters_.end(), std::back_inserter(mine),
                 [](const auto& meter) { return meter->thread() == std::this_thread::get_id(); });
    return mine.empty() ? meters_ : mine;
  }

  c10::DeviceType type_;
  c10::Allocator* inner_;
  mutable std::mutex mutex_;
  Listeners meters_;
};

// The allocator under all meters of a device type. LibTorch's table of allocators is the one place that knows it.
CountingAllocator& counting_allocator(c10::DeviceType type) {
  static std::mutex table;
  const std::lock_guard lock(table);
  if (auto* const present = dynamic_cast<CountingAllocator*>(c10::GetAllocator(type))) return *present;
  constexpr std::uint8_t highest_priority = 255;
  auto allocator = std::make_unique<CountingAllocator>(type);
  c10::SetAllocator(type, allocator.get(), highest_priority);
  return *allocator.release();  // tensors may live until the process ends
}

}  // namespace

AllocationMeter::AllocationMeter(c10::DeviceType type)
    : type_(type), counters_(std::make_shared<AllocationCounters>()) {
  counting_allocator(type_).attach(counters_);
}
AllocationMeter::~AllocationMeter() { counting_allocator(type_).detach(counters_); }

std::int64_t AllocationMeter::current_bytes() const { return counters_->current().total(); }
MemorySplit AllocationMeter::peak() const { return counters_->peak(); }
void AllocationMeter::reset_peak() { counters_->reset_peak(); }

namespace {

// The number after `name` in this process's status, which counts in KiB.
std::int64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == name && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

std::int64_t resident_set_bytes() { return status_bytes("VmRSS:"); }
std::int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

}  // namespace tpsp
