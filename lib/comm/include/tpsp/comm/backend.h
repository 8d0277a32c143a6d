// The transports to choose from. One file in src/backends/ adds one.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/comm/process_group.h"
#include "tpsp/comm/world.h"

namespace tpsp {

struct Backend {
  std::string name;
  std::string meaning;
  int preference = 0;          ///< "auto" takes the highest among those that do not refuse
  bool shares_memory = false;  ///< as its process groups will say
  bool device_a_rank = false;  ///< no two of a run's ranks may share a device
  /// Why this backend can not serve these ranks on this device; nothing when it can, unless they share it.
  std::function<std::optional<std::string>(const World&, at::Device)> refusal;
  /// The world outlives the process group. Collective.
  std::function<std::unique_ptr<ProcessGroup>(World&, at::Device)> make;
};

/// The backends of this build.
std::vector<Backend> standard_backends();

/// The backend called `name`, or the best one for "auto". Throws bad_input for an unknown name (with the choices) and
/// for a backend that refuses (with its reason). `shared_gpu` is what the function of that name says of the ranks.
/// Not collective: ranks may be refused on one host and not on another.
Backend choose_backend(const std::vector<Backend>& backends, const std::string& name, const World& world,
                       at::Device device, const std::optional<std::string>& shared_gpu = {});

/// choose_backend for a run that is divided into groups, of which this rank is in `group`, with one answer on all ranks
/// of the `run`: "auto" is the best of those that refuse no rank's group. Throws AgreedError. Collective over `run`.
Backend agree_on_backend(const std::vector<Backend>& backends, const std::string& name, const World& group, World& run,
                         at::Device device);

/// choose_backend, and its process group. Collective.
std::unique_ptr<ProcessGroup> make_process_group(const std::vector<Backend>& backends, const std::string& name,
                                                 World& world, at::Device device);

}  // namespace tpsp
