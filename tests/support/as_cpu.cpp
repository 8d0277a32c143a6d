// TPSP_TEST_CPU makes the kernels take this processor for a lesser one: avx2, or avx512 without what came later.
// LibTorch, oneDNN and MKL have variables of their own; tests/CMakeLists.txt sets them all.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <hwy/highway.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string_view>

namespace {

// Of Highway's targets, the later have the lower bits. hwy::DisableTargets does not reach what is dispatched.
void leave_out_later_than(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~(target - 1));
}

class AsCpu final : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    const char* const asked = std::getenv("TPSP_TEST_CPU");
    const std::string_view cpu = asked != nullptr ? asked : "";
    if (cpu == "avx2") leave_out_later_than(HWY_AVX2);
    if (cpu == "avx512") leave_out_later_than(HWY_AVX3);
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(AsCpu)
