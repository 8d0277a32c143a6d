#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string>

#include "mpi_check.h"
#include "mpi_parts.h"
#include "tpsp/comm/world.h"

namespace tpsp {
namespace {

/// MPI_COMM_WORLD, with MPI running for the lifetime of the object.
class MpiWorld final : public World {
 public:
  MpiWorld() {
    int provided = 0;
    TPSP_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
    TPSP_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    TPSP_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank_));
    TPSP_MPI(MPI_Comm_size(MPI_COMM_WORLD, &size_));
    MPI_Comm host = MPI_COMM_NULL;
    TPSP_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
    TPSP_MPI(MPI_Comm_rank(host, &local_rank_));
    TPSP_MPI(MPI_Comm_size(host, &local_size_));
    TPSP_MPI(MPI_Comm_free(&host));
    even_hosts_ = compare_hosts();
  }
  ~MpiWorld() override { MPI_Finalize(); }
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  bool has_even_hosts() const override { return even_hosts_; }
  std::vector<std::string> exchange(const std::string& mine) override { return mpi_exchange(mine, {MPI_COMM_WORLD}); }
  void barrier() override { TPSP_MPI(MPI_Barrier(MPI_COMM_WORLD)); }
  [[noreturn]] void abort(ExitCode code) noexcept override {
    MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
    std::_Exit(static_cast<int>(code));
  }

 private:
  bool compare_hosts() const;

  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  bool even_hosts_ = true;
};

// With hosts of one size, rank 0 to L - 1 can have that many ranks before them on their host only where it is one host;
// so the next L, and so on.
bool MpiWorld::compare_hosts() const {
  const int in_place = rank_ % local_size_ == local_rank_ ? 1 : 0;
  std::array<int, 3> least{local_size_, -local_size_, in_place};
  TPSP_MPI(MPI_Allreduce(MPI_IN_PLACE, least.data(), static_cast<int>(least.size()), MPI_INT, MPI_MIN, MPI_COMM_WORLD));
  return least[0] == -least[1] && least[2] == 1;
}

}  // namespace

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

std::unique_ptr<World> make_mpi_world() { return std::make_unique<MpiWorld>(); }

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return version.substr(0, version.find(','));
}

}  // namespace tpsp
