#include "tpsp/shm/process_memory.h"

namespace tpsp {

ProcessMemory::ProcessMemory(int ranks, std::size_t heap_bytes, std::size_t common_bytes)
    : heaps_(static_cast<std::size_t>(ranks), std::vector<Line>(lines_for(heap_bytes))),
      common_(lines_for(common_bytes)),
      heap_bytes_(heap_bytes),
      common_bytes_(common_bytes) {}

}  // namespace tpsp
