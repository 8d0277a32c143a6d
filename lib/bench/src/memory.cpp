#include "tpsp/bench/memory.h"

#include <c10/core/Allocator.h>

#include <atomic>
#include <cstddef>
#include <fstream>
#include <new>
#include <string>
#include <utility>

namespace tpsp {
namespace {

struct Counters {
  std::atomic<std::int64_t> current{0};
  std::atomic<std::int64_t> peak{0};

  void add(std::int64_t bytes) {
    const auto now = current.fetch_add(bytes) + bytes;
    auto highest = peak.load();
    while (now > highest && !peak.compare_exchange_weak(highest, now)) {
    }
  }
  void remove(std::int64_t bytes) { current.fetch_sub(bytes); }
};

// What stands before each tensor's bytes, and is freed with them. It keeps the counters alive beyond the meter.
struct Header {
  c10::DataPtr memory;
  std::int64_t bytes;
  std::shared_ptr<Counters> counters;
};
constexpr std::size_t header_room = 64;  // keeps the alignment of LibTorch's own allocator
static_assert(sizeof(Header) <= header_room);

void destroy(Header* header) {
  header->counters->remove(header->bytes);
  const auto memory = std::move(header->memory);  // freed last: the header lies in it
  header->~Header();
}

void free_bytes(void* data) { destroy(reinterpret_cast<Header*>(static_cast<std::byte*>(data) - header_room)); }

// A meta tensor has no bytes for a header to stand before.
void free_meta(void* context) {
  const std::unique_ptr<Header> header(static_cast<Header*>(context));
  header->counters->remove(header->bytes);
}

constexpr std::uint8_t highest_priority = 255;

}  // namespace

class AllocationMeter::Allocator final : public c10::Allocator {
 public:
  explicit Allocator(c10::DeviceType type) : type_(type), inner_(c10::GetAllocator(type)) {
    c10::SetAllocator(type_, this, highest_priority);
  }
  ~Allocator() override { c10::SetAllocator(type_, inner_, highest_priority); }
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  c10::DataPtr allocate(std::size_t bytes) override {
    const auto counted = static_cast<std::int64_t>(bytes);
    c10::DataPtr result;
    if (type_ == c10::kMeta) {
      auto memory = inner_->allocate(bytes);
      const auto device = memory.device();
      result = {nullptr, new Header{std::move(memory), counted, counters_}, &free_meta, device};
    } else {
      auto memory = inner_->allocate(bytes + header_room);
      const auto device = memory.device();
      auto* const start = static_cast<std::byte*>(memory.get());
      new (start) Header{std::move(memory), counted, counters_};
      result = {start + header_room, start + header_room, &free_bytes, device};
    }
    counters_->add(counted);
    return result;
  }
  /// oneDNN takes its scratch memory without a DataPtr.
  c10::DeleterFnPtr raw_deleter() const override { return type_ == c10::kMeta ? nullptr : &free_bytes; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

  Counters& counters() { return *counters_; }

 private:
  c10::DeviceType type_;
  c10::Allocator* inner_;
  std::shared_ptr<Counters> counters_ = std::make_shared<Counters>();
};

AllocationMeter::AllocationMeter(c10::DeviceType type) : allocator_(std::make_unique<Allocator>(type)) {}
AllocationMeter::~AllocationMeter() = default;

std::int64_t AllocationMeter::current_bytes() const { return allocator_->counters().current; }
std::int64_t AllocationMeter::peak_bytes() const { return allocator_->counters().peak; }
void AllocationMeter::reset_peak() { allocator_->counters().peak = allocator_->counters().current.load(); }

std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

}  // namespace tpsp
