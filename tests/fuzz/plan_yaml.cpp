// A plan file in YAML, and its lowering to a small model.
#include "plan.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tpsp::read_plan(tpsp::text_of(data, size), "fuzz.yaml");
  return 0;
}
