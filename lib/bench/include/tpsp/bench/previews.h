// The previews of a run.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "tpsp/bench/preview.h"
#include "tpsp/bench/step_preview.h"

namespace tpsp {

/// Each is made when it is first asked for, and kept. For one thread.
class Previews {
 public:
  Previews(std::shared_ptr<const Architecture> model, c10::ScalarType dtype, bool shares_memory,
           bool replicas_share_memory = false)
      : model_(std::move(model)),
        dtype_(dtype),
        settings_{.shares_memory = shares_memory, .replicas_share_memory = replicas_share_memory} {}

  const Preview& of(const LoweredPlan& plan, std::int64_t batch, std::int64_t seq);
  const StepPreview& of_step(const LoweredPlan& plan, std::int64_t batch, std::int64_t seq, const StepSettings& step);
  const PreviewSettings& settings() const { return settings_; }
  /// From now on with these kernels and for this; plain ones and one thread of a CPU until then. References from `of`
  /// and `of_step` are gone.
  void use(KernelChoice kernel, StandsFor meta);

 private:
  using Key = std::tuple<std::string, int, std::int64_t, std::int64_t>;

  std::shared_ptr<const Architecture> model_;
  c10::ScalarType dtype_;
  PreviewSettings settings_;
  std::map<Key, Preview> forwards_;
  std::map<std::pair<Key, std::string>, StepPreview> steps_;
};

}  // namespace tpsp
