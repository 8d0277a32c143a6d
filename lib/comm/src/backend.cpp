#include "tpsp/comm/backend.h"

#include <algorithm>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

const Backend& best(const std::vector<Backend>& backends, const World& world, at::Device device) {
  const Backend* chosen = nullptr;
  for (const auto& backend : backends) {
    if (backend.refusal(world, device)) continue;
    if (chosen == nullptr || backend.preference > chosen->preference) chosen = &backend;
  }
  if (chosen != nullptr) return *chosen;
  throw bad_input({.where = "--backend auto",
                   .what = "no backend serves " + std::to_string(world.size()) + " ranks on " + device.str(),
                   .remedy = "start the ranks with mpirun or srun"});
}

const Backend& named(const std::vector<Backend>& backends, const std::string& name) {
  const auto found = std::find_if(backends.begin(), backends.end(), [&](const auto& b) { return b.name == name; });
  if (found != backends.end()) return *found;
  std::vector<std::string> names{"auto"};
  for (const auto& backend : backends) names.push_back(backend.name);
  throw bad_input({.where = "--backend",
                   .what = "there is no backend '" + name + "' in this build",
                   .remedy = suggest(name, names)});
}

}  // namespace

Backend choose_backend(const std::vector<Backend>& backends, const std::string& name, const World& world,
                       at::Device device) {
  const Backend& backend = name == "auto" ? best(backends, world, device) : named(backends, name);
  if (const auto reason = backend.refusal(world, device)) {
    throw bad_input({.where = "--backend " + name, .what = *reason, .remedy = "use --backend auto"});
  }
  return backend;
}

std::unique_ptr<ProcessGroup> make_process_group(const std::vector<Backend>& backends, const std::string& name,
                                                 World& world, at::Device device) {
  return choose_backend(backends, name, world, device).make(world, device);
}

}  // namespace tpsp
