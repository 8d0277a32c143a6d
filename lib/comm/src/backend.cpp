#include "tpsp/comm/backend.h"

#include <algorithm>
#include <utility>

#include "tpsp/comm/gpus.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

/// A backend, and why it refuses, if it does.
struct Candidate {
  const Backend* backend;
  std::optional<std::string> reason;
};

std::vector<Candidate> candidates(const std::vector<Backend>& backends, const World& world, at::Device device,
                                  const std::optional<std::string>& shared_gpu) {
  std::vector<Candidate> all;
  for (const auto& backend : backends) {
    auto reason = backend.refusal(world, device);
    if (!reason && backend.device_a_rank) reason = shared_gpu;
    all.push_back({&backend, std::move(reason)});
  }
  return all;
}

const Candidate& best(const std::vector<Candidate>& all, const World& world, at::Device device) {
  const Candidate* chosen = nullptr;
  for (const auto& one : all) {
    if (one.reason) continue;
    if (chosen == nullptr || one.backend->preference > chosen->backend->preference) chosen = &one;
  }
  if (chosen != nullptr) return *chosen;
  throw bad_input({.where = "--backend auto",
                   .what = "no backend serves " + std::to_string(world.size()) + " ranks on " + device.str(),
                   .remedy = "start the ranks with mpirun or srun"});
}

const Candidate& named(const std::vector<Candidate>& all, const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.backend->name == name; });
  if (found != all.end()) return *found;
  std::vector<std::string> names{"auto"};
  for (const auto& one : all) names.push_back(one.backend->name);
  throw bad_input({.where = "--backend",
                   .what = "there is no backend '" + name + "' in this build",
                   .remedy = suggest(name, names)});
}

Backend choose(const std::vector<Candidate>& all, const std::string& name, const World& world, at::Device device) {
  const auto& [backend, reason] = name == "auto" ? best(all, world, device) : named(all, name);
  if (reason) throw bad_input({.where = "--backend " + name, .what = *reason, .remedy = "use --backend auto"});
  return *backend;
}

// Without those that refuse any rank's group.
std::vector<Candidate> serving_all(const std::vector<Candidate>& mine, World& run) {
  std::string refusing;
  for (const auto& one : mine) refusing += one.reason ? 'x' : ' ';
  const auto of_ranks = run.exchange(refusing);
  std::vector<Candidate> serving;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    const bool refused =
        std::any_of(of_ranks.begin(), of_ranks.end(), [&](const auto& rank) { return rank[i] == 'x'; });
    if (!refused) serving.push_back(mine[i]);
  }
  return serving;
}

}  // namespace

Backend choose_backend(const std::vector<Backend>& backends, const std::string& name, const World& world,
                       at::Device device, const std::optional<std::string>& shared_gpu) {
  return choose(candidates(backends, world, device, shared_gpu), name, world, device);
}

Backend agree_on_backend(const std::vector<Backend>& backends, const std::string& name, const World& group, World& run,
                         at::Device device) {
  auto all = candidates(backends, group, device, shared_gpu(gpus_of_ranks(run, device)));
  if (name == "auto") all = serving_all(all, run);
  std::optional<Backend> chosen;
  agree(run, [&] { chosen = choose(all, name, group, device); });
  return *chosen;
}

std::unique_ptr<ProcessGroup> make_process_group(const std::vector<Backend>& backends, const std::string& name,
                                                 World& world, at::Device device) {
  return choose_backend(backends, name, world, device).make(world, device);
}

}  // namespace tpsp
