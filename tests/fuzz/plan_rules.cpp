// A plan file of one rule a line, and its lowering to a small model.
#include "plan.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tpsp::read_plan(tpsp::text_of(data, size), "fuzz.rules");
  return 0;
}
