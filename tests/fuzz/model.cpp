// A model's shapes, and its modules.
#include "target.h"
#include "tpsp/models/config.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tpsp::reads_or_refuses([&] {
    const auto config = tpsp::parse_model("fuzz", "fuzz.yaml", tpsp::text_of(data, size));
    if (tpsp::modules_of(config).empty()) std::abort();
  });
  return 0;
}
