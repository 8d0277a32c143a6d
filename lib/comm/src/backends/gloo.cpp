// Gloo, PyTorch's transport on the CPU, through c10d's own ProcessGroupGloo: what torch.distributed calls with backend
// gloo is called here, so times repeat those of PyTorch programs. c10d's reduce-scatter is an all-reduce of a copy, of
// which the rank keeps its block; it costs what an all-reduce costs and more, and that is measured, not fixed.
//
// The code of Gloo is the one inside LibTorch, which comes without Gloo's headers. The headers compiled with are
// Debian's, of another version: nothing of namespace gloo may be made, called or destroyed in this file, only held by
// the pointers of c10d's classes (a test looks at the object file).
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "tpsp/comm/backend.h"

namespace tpsp {
namespace {

using Group = c10d::ProcessGroupGloo;

constexpr std::chrono::minutes patience{5};  // for a peer that neither comes nor closes its connection
constexpr auto loopback = "127.0.0.1";

/// Runs `step`, and reports a failure in c10d as an Error of this backend.
template <class Step>
void reported(std::string_view doing, Step step) {
  try {
    step();
  } catch (const std::exception& error) {
    throw Error(ExitCode::rows_not_ok, {.where = "backend gloo",
                                        .what = fmt::format("{} failed", doing),
                                        .why = message_of(error),
                                        .remedy = "check that every rank is still running; between hosts, name the "
                                                  "network interface in GLOO_SOCKET_IFNAME"});
  }
}

void check_socket(int result) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), "a socket on 127.0.0.1");
}

/// A socket that only this host can reach, listening at a port of the system's choice.
int listen_on_loopback() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  check_socket(socket);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check_socket(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  check_socket(::listen(socket, SOMAXCONN));
  return socket;
}

std::uint16_t port_of(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  check_socket(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length));
  return ntohs(address.sin_port);
}

std::string host_name() {
  std::array<char, 256> name{};
  check_socket(::gethostname(name.data(), name.size() - 1));
  return name.data();
}

bool on_one_host(const World& world) { return world.local_size() == world.size(); }

c10d::TCPStoreOptions store_options(std::uint16_t port) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.waitWorkers = false;
  options.timeout = patience;
  return options;
}

/// The store through which the ranks find each other, with its server in this process.
c10::intrusive_ptr<c10d::TCPStore> serve_store(const World& world) {
  auto options = store_options(0);
  options.isServer = true;
  if (!on_one_host(world)) return c10::make_intrusive<c10d::TCPStore>(host_name(), options);
  const int socket = listen_on_loopback();  // the store closes it
  options.port = port_of(socket);
  options.masterListenFd = socket;
  return c10::make_intrusive<c10d::TCPStore>(loopback, options);
}

/// Rank 0's store, seen from every rank. Collective.
c10::intrusive_ptr<c10d::TCPStore> shared_store(World& world) {
  c10::intrusive_ptr<c10d::TCPStore> store;
  agree(world, [&] {
    if (world.rank() == 0) reported("the store for the rendezvous", [&] { store = serve_store(world); });
  });
  const auto hosts = world.exchange(store ? store->getHost() : "");
  const auto ports = world.exchange(store ? std::to_string(store->getPort()) : "");
  agree(world, [&] {
    if (world.rank() == 0) return;
    const auto port = static_cast<std::uint16_t>(std::stoi(ports.front()));
    reported("reaching rank 0's store",
             [&] { store = c10::make_intrusive<c10d::TCPStore>(hosts.front(), store_options(port)); });
  });
  return store;
}

/// Those of torch.distributed; on one host nothing leaves the host.
c10::intrusive_ptr<Group::Options> group_options(const World& world) {
  if (!on_one_host(world)) return Group::Options::create_default(patience);
  auto options = Group::Options::create(patience);
  options->devices.push_back(Group::createDeviceForHostname(loopback));
  return options;
}

c10::intrusive_ptr<Group> connect(World& world) {
  const auto store = shared_store(world);
  c10::intrusive_ptr<Group> group;
  agree(world, [&] {
    reported("connecting the ranks",
             [&] { group = c10::make_intrusive<Group>(store, world.rank(), world.size(), group_options(world)); });
  });
  return group;
}

class GlooProcessGroup final : public ProcessGroup {
 public:
  explicit GlooProcessGroup(World& world) : rank_(world.rank()), size_(world.size()), group_(connect(world)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "gloo"; }

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    if (partial.const_data_ptr() != sum.const_data_ptr()) sum.copy_(partial.view_as(sum));
    std::vector<at::Tensor> buffers{sum};
    finish(Collective::all_reduce, [&] { return group_->allreduce(buffers); });
  }

  // Flat, since c10d wants the full tensor's first dimension to be size() times the shard's.
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    auto from = shard.view(-1);
    auto to = full.view(-1);
    finish(Collective::all_gather, [&] { return group_->_allgather_base(to, from); });
  }

  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    auto from = full.view(-1);
    auto to = shard.view(-1);
    finish(Collective::reduce_scatter, [&] { return group_->_reduce_scatter_base(to, from); });
  }

 private:
  template <class Start>
  static void finish(Collective kind, Start start) {
    reported(to_string(kind), [&] { one_at_a_time(start)->wait(); });
  }

  // c10d notes what is started in one map for the whole process and does not lock it; ranks may be threads.
  static c10::intrusive_ptr<c10d::Work> one_at_a_time(const std::function<c10::intrusive_ptr<c10d::Work>()>& start) {
    static std::mutex map;  // not in a template, which would have several
    const std::lock_guard lock(map);
    return start();
  }

  int rank_;
  int size_;
  c10::intrusive_ptr<Group> group_;
};

std::optional<std::string> refusal(const World&, at::Device device) {
  if (device.is_cpu()) return std::nullopt;
  return "gloo needs CPU tensors";
}

}  // namespace

Backend gloo_backend() {
  return {.name = "gloo",
          .meaning = "Gloo through c10d, as torch.distributed has it on the CPU",
          .preference = 5,
          .refusal = refusal,
          .make = [](World& world, at::Device) { return std::make_unique<GlooProcessGroup>(world); }};
}

}  // namespace tpsp
