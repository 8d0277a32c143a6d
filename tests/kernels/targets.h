// The same test on every instruction set that the kernels are compiled for and this processor has.
#pragma once

#include <hwy/highway.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

#include "tpsp/kernels/kernels.h"

namespace tpsp::kernels {

/// Kernels run on one instruction set for the lifetime of the object, whatever the processor has beyond it.
class UseTarget {
 public:
  explicit UseTarget(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~UseTarget() { hwy::SetSupportedTargetsForTest(before_); }
  UseTarget(const UseTarget&) = delete;
  UseTarget& operator=(const UseTarget&) = delete;

 private:
  std::int64_t before_ = hwy::SupportedTargets();
};

/// The path without SIMD is the last of them.
inline std::vector<std::int64_t> all_targets() { return hwy::SupportedAndGeneratedTargets(); }

template <typename Body>
void on_every_target(Body body) {
  for (const auto target : all_targets()) {
    const UseTarget use(target);
    INFO("instruction set " << instruction_set());
    REQUIRE(instruction_set() == hwy::TargetName(target));
    body();
  }
}

}  // namespace tpsp::kernels
