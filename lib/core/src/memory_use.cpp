#include "tpsp/core/memory_use.h"

namespace tpsp {
namespace {

// An allocator is called by LibTorch and sees no argument of ours.
thread_local MemoryUse use_of_thread = MemoryUse::activations;

}  // namespace

MemoryUse current_memory_use() { return use_of_thread; }

MemoryScope::MemoryScope(MemoryUse use) : before_(use_of_thread) {
  if (before_ == MemoryUse::activations) use_of_thread = use;
}
MemoryScope::~MemoryScope() { use_of_thread = before_; }

}  // namespace tpsp
