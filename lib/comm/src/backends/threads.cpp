// Ranks as threads of one process: the algorithms of shared memory, on memory that threads share anyhow.
#include "../shm_process_group.h"
#include "../thread_world.h"
#include "tpsp/comm/backend.h"
#include "tpsp/shm/process_memory.h"

namespace tpsp {
namespace {

class ThreadHost final : public ShmHost {
 public:
  explicit ThreadHost(ThreadWorld& world) : group_(world.group()), rank_(world.rank()) {}

  int rank() const override { return rank_; }
  int size() const override { return group_.size(); }

  std::shared_ptr<SharedMemory> make_memory(std::size_t heap_bytes, std::size_t common_bytes) override {
    return group_.share(rank_, [&] { return std::make_shared<ProcessMemory>(size(), heap_bytes, common_bytes); });
  }

  void check_peer(int) override { group_.check(); }

 private:
  ThreadGroup& group_;
  int rank_;
};

}  // namespace

Backend threads_backend() {
  return {.name = "threads",
          .meaning = "ranks as threads of one process",
          .preference = 10,
          .shares_memory = true,
          .refusal = [](const World& world, at::Device) -> std::optional<std::string> {
            if (dynamic_cast<const ThreadWorld*>(&world) != nullptr) return std::nullopt;
            return "threads is for ranks inside one process, and these are processes";
          },
          .make =
              [](World& world, at::Device) {
                auto& threads = dynamic_cast<ThreadWorld&>(world);
                return std::make_unique<ShmProcessGroup>(std::make_unique<ThreadHost>(threads), "threads");
              }};
}

}  // namespace tpsp
