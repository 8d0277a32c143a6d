#include "mpi_world.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mpi_check.h"
#include "mpi_parts.h"
#include "tpsp/core/activity.h"

namespace tpsp {
namespace {

/// MPI for as long as the object lives.
class MpiLibrary {
 public:
  MpiLibrary() {
    int provided = 0;
    TPSP_MPI(
        MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided));  // a watchdog's thread has messages too
    TPSP_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  }
  ~MpiLibrary() { MPI_Finalize(); }
  MpiLibrary(const MpiLibrary&) = delete;
  MpiLibrary& operator=(const MpiLibrary&) = delete;
};

MPI_Comm duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  TPSP_MPI(MPI_Comm_dup(comm, &copy));
  return copy;
}

/// A communicator of its own, whose messages are small enough to leave without a receiver.
class MpiChannel final : public SideChannel {
 public:
  explicit MpiChannel(MPI_Comm comm) : comm_(duplicate(comm)) {
    TPSP_MPI(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
    TPSP_MPI(MPI_Comm_rank(comm_, &rank_));
    TPSP_MPI(MPI_Comm_size(comm_, &size_));
  }
  ~MpiChannel() override {
    for (auto& request : requests_) MPI_Request_free(&request);
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }
  MpiChannel(const MpiChannel&) = delete;
  MpiChannel& operator=(const MpiChannel&) = delete;

  void send(const std::string& text) override {
    const auto& sent = sent_.emplace_back(text);
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      auto& request = requests_.emplace_back(MPI_REQUEST_NULL);
      TPSP_MPI(MPI_Isend(sent.data(), static_cast<int>(sent.size()), MPI_CHAR, peer, tag, comm_, &request));
    }
  }
  std::vector<std::pair<int, std::string>> receive() override {
    std::vector<std::pair<int, std::string>> messages;
    for (;;) {
      int there = 0;
      MPI_Status status;
      TPSP_MPI(MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &there, &status));
      if (there == 0) return messages;
      int size = 0;
      TPSP_MPI(MPI_Get_count(&status, MPI_CHAR, &size));
      std::string text(static_cast<std::size_t>(size), '\0');
      TPSP_MPI(MPI_Recv(text.data(), size, MPI_CHAR, status.MPI_SOURCE, tag, comm_, MPI_STATUS_IGNORE));
      messages.emplace_back(status.MPI_SOURCE, std::move(text));
    }
  }

 private:
  static constexpr int tag = 0;

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  std::list<std::string> sent_;  ///< MPI may still read them
  std::vector<MPI_Request> requests_;
};

/// All processes that were started together. The library is a base, so that it ends last.
class AllProcesses final : private MpiLibrary, public MpiWorld {
 public:
  AllProcesses() : MpiWorld(duplicate(MPI_COMM_WORLD)) {}
};

}  // namespace

MpiWorld::MpiWorld(MPI_Comm comm) : comm_(comm) {
  TPSP_MPI(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
  TPSP_MPI(MPI_Comm_rank(comm_, &rank_));
  TPSP_MPI(MPI_Comm_size(comm_, &size_));
  MPI_Comm host = MPI_COMM_NULL;
  TPSP_MPI(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  TPSP_MPI(MPI_Comm_rank(host, &local_rank_));
  TPSP_MPI(MPI_Comm_size(host, &local_size_));
  TPSP_MPI(MPI_Comm_free(&host));
  even_hosts_ = compare_hosts();
}

// Waits for the other ranks, unless this one is on its way out with an error: they will not come then.
MpiWorld::~MpiWorld() {
  if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
}

std::vector<std::string> MpiWorld::exchange(const std::string& mine) {
  const Doing doing("an exchange of messages", {}, true);
  return mpi_exchange(mine, {comm_});
}

void MpiWorld::barrier() {
  const Doing doing("a barrier", {}, true);
  TPSP_MPI(MPI_Barrier(comm_));
}

// An MPI without threads has none: its calls may not meet another thread's.
std::unique_ptr<SideChannel> MpiWorld::side_channel() {
  int provided = MPI_THREAD_SINGLE;
  TPSP_MPI(MPI_Query_thread(&provided));
  if (provided < MPI_THREAD_MULTIPLE) return nullptr;
  return std::make_unique<MpiChannel>(comm_);
}

std::unique_ptr<World> MpiWorld::split(int color) {
  MPI_Comm part = MPI_COMM_NULL;
  TPSP_MPI(MPI_Comm_split(comm_, color, rank_, &part));
  return std::make_unique<MpiWorld>(part);
}

void MpiWorld::abort(ExitCode code) noexcept {
  static constexpr auto patience = std::chrono::seconds(2);
  try {  // MPI_Abort waits for the launcher, which may be out of reach
    std::thread([code] {
      std::this_thread::sleep_for(patience);
      std::_Exit(static_cast<int>(code));
    }).detach();
  } catch (const std::exception&) {  // no thread could be started: MPI_Abort alone
  }
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

// With hosts of one size, rank 0 to L - 1 can have that many ranks before them on their host only where it is one host;
// so the next L, and so on.
bool MpiWorld::compare_hosts() const {
  const int in_place = rank_ % local_size_ == local_rank_ ? 1 : 0;
  std::array<int, 3> least{local_size_, -local_size_, in_place};
  TPSP_MPI(MPI_Allreduce(MPI_IN_PLACE, least.data(), static_cast<int>(least.size()), MPI_INT, MPI_MIN, comm_));
  return least[0] == -least[1] && least[2] == 1;
}

MPI_Comm mpi_comm(const World& world) {
  const auto* const ranks = dynamic_cast<const MpiWorld*>(&world);
  return ranks != nullptr ? ranks->comm() : MPI_COMM_NULL;
}

void check_mpi(int result, std::string_view call) {
  if (result == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(result, text.data(), &length);
  throw Error(ExitCode::rows_not_ok, {.where = "MPI",
                                      .what = fmt::format("{} failed", call),
                                      .why = std::string(text.data(), static_cast<std::size_t>(length)),
                                      .remedy = "check that every rank is still running"});
}

std::unique_ptr<World> make_mpi_world() { return std::make_unique<AllProcesses>(); }

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return version.substr(0, version.find(','));
}

}  // namespace tpsp
