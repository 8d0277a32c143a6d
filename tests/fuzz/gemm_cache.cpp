// The file of kernels that earlier runs chose.
#include "tpsp/bench/gemm_cache.h"

#include "target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tpsp::ScratchFile file(tpsp::text_of(data, size), ".json");
  tpsp::reads_or_refuses([&] {
    tpsp::GemmCache cache(file.path());
    tpsp::choices_in(tpsp::text_of(cache.of("fuzz")));
  });
  return 0;
}
