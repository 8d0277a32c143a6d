#include "mpi_world.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <string>

#include "mpi_check.h"
#include "mpi_parts.h"

namespace tpsp {
namespace {

/// MPI for as long as the object lives.
class MpiLibrary {
 public:
  MpiLibrary() {
    int provided = 0;
    TPSP_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
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

std::vector<std::string> MpiWorld::exchange(const std::string& mine) { return mpi_exchange(mine, {comm_}); }

void MpiWorld::barrier() { TPSP_MPI(MPI_Barrier(comm_)); }

std::unique_ptr<World> MpiWorld::split(int color) {
  MPI_Comm part = MPI_COMM_NULL;
  TPSP_MPI(MPI_Comm_split(comm_, color, rank_, &part));
  return std::make_unique<MpiWorld>(part);
}

void MpiWorld::abort(ExitCode code) noexcept {
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
