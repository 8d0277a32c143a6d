// A results file in CSV. Rows that can be read can be written and read again.
#include "results_file.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tpsp::read_results_file(tpsp::text_of(data, size), ".csv");
  return 0;
}
