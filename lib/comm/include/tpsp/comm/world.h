// The ranks that run together, and the small messages they agree with. Tensors travel through a ProcessGroup.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tpsp/comm/side_channel.h"
#include "tpsp/core/error.h"

namespace tpsp {

/// The processes (or threads) of one run. `exchange` and `barrier` are collective.
class World {
 public:
  virtual ~World() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  ///< among the ranks of this host
  virtual int local_size() const = 0;
  /// Whether every host has as many ranks as this one, consecutive ones; the same on all ranks.
  virtual bool has_even_hosts() const { return local_size() == size(); }

  /// Every rank's bytes, in rank order, on every rank.
  virtual std::vector<std::string> exchange(const std::string& mine) = 0;
  virtual void barrier() = 0;

  /// The ranks that gave the same `color`, in the order of their ranks here. Lives as long as this world at most.
  /// Collective.
  virtual std::unique_ptr<World> split(int color) = 0;

  /// For a thread beside this one; null where the ranks have none. The world outlives it. Collective.
  virtual std::unique_ptr<SideChannel> side_channel() { return nullptr; }

  /// Ends all ranks at once, from one that can not go on while the others may be waiting for it.
  [[noreturn]] virtual void abort(ExitCode code) noexcept = 0;
};

/// One rank alone.
class SerialWorld final : public World {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::vector<std::string> exchange(const std::string& mine) override { return {mine}; }
  void barrier() override {}
  std::unique_ptr<World> split(int) override { return std::make_unique<SerialWorld>(); }
  [[noreturn]] void abort(ExitCode code) noexcept override;
};

/// Starts MPI for as long as the object lives. Throws Error when MPI does not start.
std::unique_ptr<World> make_mpi_world();
/// "Open MPI v4.1.4", without starting MPI.
std::string mpi_version();

/// An Error that every rank has thrown at the same time, so that all can end in order.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Runs `step` on every rank, then lets all ranks know how it went: an Error on any rank becomes the same
/// AgreedError on all (the lowest failing rank's, naming that rank unless all failed alike), so that no rank goes on
/// alone. `step` makes no collective call.
void agree(World& world, const std::function<void()>& step);

/// Throws AgreedError on all ranks, naming the first line that differs and the first rank that it differs on, unless
/// every rank gives the same `facts`, one a line. What ranks do must follow from the same options.
void require_same(World& world, const std::string& facts);

/// An exception's message for a user: LibTorch's without its stack trace.
std::string message_of(const std::exception& error);

/// Every rank's values, in rank order.
std::vector<std::vector<double>> exchange_numbers(World& world, const std::vector<double>& mine);

/// The largest of the ranks' values, element by element; all ranks give equally many. A NaN on any rank is the
/// largest.
std::vector<double> max_over_ranks(World& world, const std::vector<double>& mine);

}  // namespace tpsp
