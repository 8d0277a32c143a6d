// Where the ranks of a host meet: a barrier in memory that all of them see, at which each says what it has come for.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

namespace tpsp {

inline constexpr int most_shm_ranks = 64;

/// What a rank says when it arrives. Plain bytes, since the others may be other processes.
struct Errand {
  std::array<char, 24> name{};  ///< "reduce-scatter"
  std::uint64_t bytes = 0;      ///< of the whole buffer; the same on all ranks
  std::uint64_t offset = 0;     ///< of this rank's part in its own heap, where it lies there
  std::uint64_t place =
      0;  ///< 1 + the offset of a result in the common memory, 0 for one elsewhere; the same on all ranks
};
Errand make_errand(std::string_view name, std::uint64_t bytes, std::uint64_t offset = 0);

/// The memory behind a Meeting. Zeroed bytes are a place where nobody has arrived.
struct MeetingPlace {
  struct alignas(128) Seat {  // two lines: processors fetch them in pairs
    std::atomic<std::uint64_t> arrived;
    std::array<Errand, 2> errands;  ///< of this meeting and of the one before, whose readers may be behind
  };
  std::array<Seat, most_shm_ranks> seats;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// One rank's side of it.
class Meeting {
 public:
  /// `look_after_peers` is called now and then while this rank waits, with a rank that has not come; it throws when
  /// that one never will. The place outlives the meeting.
  Meeting(MeetingPlace& place, int rank, int size, std::function<void(int)> look_after_peers);

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Meetings that this rank has been at.
  std::uint64_t epoch() const { return epoch_; }

  /// Waits until all ranks have come; what each wrote before it came is then seen by all. Throws Error where another
  /// rank has come for something else.
  void meet(const Errand& mine);
  /// What `peer` said at the last meeting, until the next.
  const Errand& errand_of(int peer) const;

 private:
  MeetingPlace::Seat& seat(int rank) const { return place_.seats[static_cast<std::size_t>(rank)]; }
  void wait_for(int peer) const;
  void compare(const Errand& mine, int peer) const;

  MeetingPlace& place_;
  int rank_;
  int size_;
  std::function<void(int)> look_after_peers_;
  std::uint64_t epoch_ = 0;
};

}  // namespace tpsp
