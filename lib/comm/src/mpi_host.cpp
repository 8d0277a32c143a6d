// Ranks of one host in windows of shared memory that MPI owns: the memory goes when they do, however they end.
#include "mpi_host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>

#include <sys/statvfs.h>

#include "mpi_check.h"
#include "mpi_world.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t round_to_page(std::size_t bytes) { return (bytes + page - 1) / page * page; }

// Open MPI's windows are files in /dev/shm, which containers often have little of; running out of it later would be a
// signal that nobody can catch. All ranks of the host throw, or none.
void require_room(MPI_Comm host, std::size_t bytes) {
  struct statvfs system {};
  const bool known = statvfs("/dev/shm", &system) == 0;
  const auto free_bytes = known ? system.f_bavail * system.f_frsize : 0;
  int fits = !known || free_bytes >= bytes ? 1 : 0;
  TPSP_MPI(MPI_Allreduce(MPI_IN_PLACE, &fits, 1, MPI_INT, MPI_MIN, host));
  if (fits == 1) return;
  throw Error(ExitCode::rows_not_ok,
              {.where = "/dev/shm",
               .what = fmt::format("the ranks of this host need {} of shared memory, and {} are free",
                                   human_bytes(static_cast<std::int64_t>(bytes)),
                                   human_bytes(static_cast<std::int64_t>(free_bytes))),
               .remedy = "enlarge it (docker run --shm-size, or mount -o remount,size=), or use --backend mpi"});
}

/// A window of MPI-3's shared memory: rank 0's part holds the barrier state and the common memory, every part a heap.
class WindowMemory final : public SharedMemory {
 public:
  /// Collective over `host`.
  WindowMemory(MPI_Comm host, std::size_t heap_bytes, std::size_t common_bytes)
      : heap_bytes_(round_to_page(heap_bytes)), common_bytes_(round_to_page(common_bytes)) {
    int rank = 0;
    int size = 0;
    TPSP_MPI(MPI_Comm_rank(host, &rank));
    TPSP_MPI(MPI_Comm_size(host, &size));
    const auto mine = page + heap_bytes_ + (rank == 0 ? state_bytes + common_bytes_ : 0);
    require_room(host, static_cast<std::size_t>(size) * (page + heap_bytes_) + state_bytes + common_bytes_);
    void* base = nullptr;
    TPSP_MPI(MPI_Win_allocate_shared(static_cast<MPI_Aint>(mine), 1, MPI_INFO_NULL, host, static_cast<void*>(&base),
                                     &window_));
    for (int peer = 0; peer < size; ++peer) parts_.push_back(part_of(peer));
    first_touch(rank, size);
    TPSP_MPI(MPI_Barrier(host));
  }
  /// Waits for the other ranks, unless this one is on its way out with an error: they will not come then.
  ~WindowMemory() override {
    if (std::uncaught_exceptions() == 0) MPI_Win_free(&window_);
  }
  WindowMemory(const WindowMemory&) = delete;
  WindowMemory& operator=(const WindowMemory&) = delete;

  BarrierState& barrier_state() override { return *reinterpret_cast<BarrierState*>(parts_.front() + heap_bytes_); }
  std::size_t heap_bytes() const override { return heap_bytes_; }
  std::byte* heap_of(int rank) override { return parts_[static_cast<std::size_t>(rank)]; }
  std::size_t common_bytes() const override { return common_bytes_; }
  std::byte* common() override { return parts_.front() + heap_bytes_ + state_bytes; }

 private:
  static constexpr std::size_t state_bytes = round_to_page(sizeof(BarrierState));

  // MPI promises no alignment of its own, so each part has a page more than it needs.
  std::byte* part_of(int peer) const {
    MPI_Aint bytes = 0;
    int unit = 0;
    void* base = nullptr;
    TPSP_MPI(MPI_Win_shared_query(window_, peer, &bytes, &unit, static_cast<void*>(&base)));
    const auto address = reinterpret_cast<std::uintptr_t>(base);
    return static_cast<std::byte*>(base) + (round_to_page(address) - address);
  }

  // Pages are taken now, by the rank that will write them, and large ones where the system gives them.
  void first_touch(int rank, int size) {
    const auto fill = [](std::byte* begin, std::size_t bytes) {
      madvise(begin, bytes, MADV_HUGEPAGE);
      std::memset(begin, 0, bytes);
    };
    fill(heap_of(rank), heap_bytes_);
    if (rank == 0) fill(heap_of(0) + heap_bytes_, state_bytes);
    const auto share = round_to_page(common_bytes_ / static_cast<std::size_t>(size));
    const auto begin = std::min(common_bytes_, share * static_cast<std::size_t>(rank));
    fill(common() + begin, std::min(share, common_bytes_ - begin));
  }

  std::size_t heap_bytes_;
  std::size_t common_bytes_;
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<std::byte*> parts_;
};

// Which processes this one can see, by a name that differs between containers; empty where the system does not report
// one.
std::string process_namespace() {
  std::array<char, 64> name{};
  const auto length = readlink("/proc/self/ns/pid", name.data(), name.size());
  return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : std::string();
}

// A process that has ended stays in the table as a zombie until its parent asks for its end, which a launcher may do
// late.
bool has_ended(pid_t process) {
  if (kill(process, 0) != 0) return errno == ESRCH;
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(") ");  // then the state's letter
  return name_end != std::string::npos && text.compare(name_end + 2, 1, "Z") == 0;
}

}  // namespace

MpiHost::MpiHost(World& world, std::string name) : name_(std::move(name)), world_rank_(world.rank()) {
  TPSP_MPI(MPI_Comm_split_type(mpi_comm(world), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host_));
  TPSP_MPI(MPI_Comm_set_errhandler(host_, MPI_ERRORS_RETURN));
  TPSP_MPI(MPI_Comm_rank(host_, &rank_));
  TPSP_MPI(MPI_Comm_size(host_, &size_));
  const auto mine = process_namespace();
  const auto all = world.exchange(fmt::format("{} {}", getpid(), mine));
  for (int peer = 0; peer < size_; ++peer) {
    const auto& entry = all.at(static_cast<std::size_t>(world_rank_of(peer)));
    const auto space = entry.find(' ');
    const bool visible = !mine.empty() && entry.substr(space + 1) == mine;
    processes_.push_back(visible ? std::stoi(entry.substr(0, space)) : 0);
  }
}

// Waits for the other ranks, as ~MpiWorld does.
MpiHost::~MpiHost() {
  if (std::uncaught_exceptions() == 0) MPI_Comm_free(&host_);
}

std::shared_ptr<SharedMemory> MpiHost::make_memory(std::size_t heap_bytes, std::size_t common_bytes) {
  return std::make_shared<WindowMemory>(host_, heap_bytes, common_bytes);
}

void MpiHost::check_peer(int peer) {
  const auto process = processes_.at(static_cast<std::size_t>(peer));
  if (process == 0 || !has_ended(process)) return;
  throw Error(ExitCode::rows_not_ok, {.where = "backend " + name_,
                                      .what = fmt::format("rank {} (process {}) is gone", world_rank_of(peer), process),
                                      .why = fmt::format("rank {} was waiting for it in a collective", world_rank_),
                                      .remedy = "look for what ended it: the out-of-memory killer, a signal"});
}

}  // namespace tpsp
