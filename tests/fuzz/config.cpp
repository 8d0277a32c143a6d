// A file of options, as --config reads it.
#include "settings.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tpsp::ScratchFile file(tpsp::text_of(data, size), ".yaml");
  tpsp::reads_or_refuses([&] {
    tpsp::CommandLine line;
    line.options["config"] = {file.path().string(), "--config"};
    tpsp::Settings{line};
  });
  return 0;
}
