#include "tpsp/bench/previews.h"

#include <utility>

namespace tpsp {
namespace {

std::string key_of(const LoweredPlan& plan) { return plan.name + "\n" + plan.signature(); }

// The entry of `key`, made where there is none.
template <typename Map, typename Make>
const typename Map::mapped_type& entry(Map& map, const typename Map::key_type& key, const Make& make) {
  const auto found = map.find(key);
  return found != map.end() ? found->second : map.emplace(key, make()).first->second;
}

}  // namespace

const Preview& Previews::of(const LoweredPlan& plan, std::int64_t batch, std::int64_t seq) {
  return entry(forwards_, {key_of(plan), plan.world, batch, seq},
               [&] { return preview(*model_, plan, batch, seq, dtype_, settings_); });
}

const StepPreview& Previews::of_step(const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                                     const StepSettings& step) {
  return entry(steps_, {{key_of(plan), plan.world, batch, seq}, to_string(step)},
               [&] { return preview_step(*model_, plan, batch, seq, dtype_, step, settings_); });
}

void Previews::use(KernelChoice kernel, StandsFor meta) {
  settings_.kernel = std::move(kernel);
  settings_.meta = meta;
  forwards_.clear();
  steps_.clear();
}

}  // namespace tpsp
