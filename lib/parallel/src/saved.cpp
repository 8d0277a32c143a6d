#include "tpsp/parallel/saved.h"

#include <c10/core/Allocator.h>

#include <algorithm>
#include <set>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

Error nothing_saved() {
  return internal_error({.where = "backward", .what = "it asks for what the forward has not saved"});
}

void recount(const at::Tensor& tensor, MemoryUse from, MemoryUse to) {
  if (!tensor.defined()) return;
  auto* const counter = dynamic_cast<MemoryCounter*>(c10::GetAllocator(tensor.device().type()));
  const auto& memory = tensor.storage().data_ptr();
  if (counter != nullptr) counter->recount(memory.get_context(), memory.get_deleter(), from, to);
}

}  // namespace

std::string_view to_string(Recompute recompute) {
  switch (recompute) {
    case Recompute::none: return "none";
    case Recompute::attention: return "attention";
    case Recompute::block: return "block";
  }
  return "unknown";
}

void Saved::push(Sharded value) {
  for (const auto from : {MemoryUse::activations, MemoryUse::collectives}) recount(value.local, from, use_);
  values_.push_back(std::move(value));
}

Sharded Saved::pop() {
  if (values_.empty()) throw nothing_saved();
  auto value = std::move(values_.back());
  values_.pop_back();
  recount(value.local, use_, MemoryUse::activations);
  return value;
}

const Sharded& Saved::last() const {
  const auto found =
      std::find_if(values_.rbegin(), values_.rend(), [](const Sharded& value) { return value.local.defined(); });
  if (found == values_.rend()) throw nothing_saved();
  return *found;
}

std::int64_t Saved::bytes() const {
  std::set<const void*> counted;
  std::int64_t total = 0;
  for (const auto& value : values_) {
    if (!value.local.defined()) continue;
    const auto& storage = value.local.storage();
    if (counted.insert(storage.unsafeGetStorageImpl()).second) total += static_cast<std::int64_t>(storage.nbytes());
  }
  return total;
}

}  // namespace tpsp
