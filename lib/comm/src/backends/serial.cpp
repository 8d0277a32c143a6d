// One rank: every collective is a copy or nothing.
#include <ATen/ATen.h>

#include "tpsp/comm/backend.h"

namespace tpsp {
namespace {

class SerialProcessGroup final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string_view backend() const override { return "serial"; }
  bool can_interrupt() const override { return true; }  // nobody waits
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override { copy(partial, sum); }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override { copy(shard, full); }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override { copy(full, shard); }

 private:
  static void copy(const at::Tensor& from, const at::Tensor& to) {
    if (from.const_data_ptr() != to.const_data_ptr()) to.copy_(from.view_as(to));
  }
};

std::optional<std::string> refusal(const World& world, at::Device) {
  if (world.size() == 1) return std::nullopt;
  return "serial is for one rank, and there are " + std::to_string(world.size());
}

}  // namespace

Backend serial_backend() {
  return {.name = "serial",
          .meaning = "one rank, no communication",
          .preference = 40,
          .refusal = refusal,
          .make = [](World&, at::Device) { return std::make_unique<SerialProcessGroup>(); }};
}

}  // namespace tpsp
