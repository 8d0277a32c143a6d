// tpsp-bench as if its computing took 5% longer, or the part that TPSP_TEST_SLOWDOWN says (0.03): for seeing that a
// comparison finds it.
#include <chrono>
#include <memory>
#include <string>

#include "support/forwarding.h"
#include "tpsp/cli/program.h"
#include "tpsp/core/environment.h"

namespace tpsp {
namespace {

using Clock = std::chrono::steady_clock;

/// Before each collective, waits for a part of the time that has passed since the last one.
class SlowedProcessGroup final : public ForwardingProcessGroup {
 public:
  SlowedProcessGroup(std::unique_ptr<ProcessGroup> inner, double part)
      : ForwardingProcessGroup(*inner), inner_(std::move(inner)), part_(part) {}

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    slow_down();
    inner_->all_reduce(partial, sum);
    last_ = Clock::now();
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    slow_down();
    inner_->all_gather(shard, full);
    last_ = Clock::now();
  }
  void reduce_scatter(const at::Tensor& partial, const at::Tensor& shard) override {
    slow_down();
    inner_->reduce_scatter(partial, shard);
    last_ = Clock::now();
  }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    slow_down();
    auto terms = inner_->defer_reduction(kind, partial);
    last_ = Clock::now();
    return terms;
  }

 private:
  void slow_down() const {
    const auto now = Clock::now();
    const auto until = now + (now - last_) * part_;
    while (Clock::now() < until) {
    }
  }

  std::unique_ptr<ProcessGroup> inner_;
  double part_;
  Clock::time_point last_ = Clock::now();
};

Backend slowed(const Backend& backend, double part) {
  auto result = backend;
  result.make = [backend, part](World& world, at::Device device) {
    return std::make_unique<SlowedProcessGroup>(backend.make(world, device), part);
  };
  return result;
}

}  // namespace
}  // namespace tpsp

int main(int argc, char** argv) {
  const double part = std::stod(tpsp::environment("TPSP_TEST_SLOWDOWN").value_or("0.05"));
  auto backends = tpsp::standard_backends();
  for (auto& backend : backends) backend = tpsp::slowed(backend, part);
  return tpsp::run_program(argc, argv, {backends, tpsp::standard_columns()});
}
