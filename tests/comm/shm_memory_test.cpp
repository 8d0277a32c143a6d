// When the memory behind a ShmProcessGroup is made anew.
#include "support/torch_and_catch.h"
// The line above comes first.
#include "shm_process_group.h"
#include "tpsp/shm/process_memory.h"

using namespace tpsp;

namespace {

/// One rank alone, which counts how often it is asked for memory.
class CountingHost final : public ShmHost {
 public:
  explicit CountingHost(int& made) : made_(made) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::shared_ptr<SharedMemory> make_memory(std::size_t heap_bytes, std::size_t common_bytes) override {
    ++made_;
    return std::make_shared<ProcessMemory>(1, heap_bytes, common_bytes);
  }
  void check_peer(int) override {}

 private:
  int& made_;
};

}  // namespace

TEST_CASE("shared memory is made anew only for more than has been reserved before") {
  int made = 0;
  ShmProcessGroup comm(std::make_unique<CountingHost>(made), "shm");
  comm.reserve({.partial_bytes = 8000, .gathered_bytes = 4000});
  REQUIRE(made == 2);
  comm.reserve({.partial_bytes = 4000, .gathered_bytes = 4000});
  comm.reserve({.partial_bytes = 8000, .gathered_bytes = 2000});
  CHECK(made == 2);
  comm.reserve({.partial_bytes = 4000, .gathered_bytes = 9000});
  CHECK(made == 3);
  comm.reserve({.partial_bytes = 8000, .gathered_bytes = 9000});
  CHECK(made == 3);
}
