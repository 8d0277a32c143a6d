// A suite, and the settings of each of its entries.
#include "suite.h"

#include "settings.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tpsp::ScratchFile file(tpsp::text_of(data, size), ".yaml");
  tpsp::reads_or_refuses([&] {
    for (const auto& entry : tpsp::load_suite(file.path()).entries) {
      tpsp::reads_or_refuses([&] { tpsp::Settings({}, entry.maps); });
    }
  });
  return 0;
}
