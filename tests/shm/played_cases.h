// Collectives as data, which every rank plays in the same order and checks against sums computed one by one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/shm/collectives.h"

namespace tpsp {

enum class Kind { all_reduce, all_gather, reduce_scatter, exchange };
enum class Where { elsewhere, partial, gathered };

struct PlayedCase {
  Kind kind = Kind::all_reduce;
  Dtype dtype = Dtype::fp32;
  std::size_t count = 0;  ///< of the shard; of all in an all-reduce
  Where from = Where::elsewhere;
  Where to = Where::elsewhere;
  bool in_place = false;      ///< then both are `to`; not for an exchange, whose partials are read on
  int kept_for = 0;           ///< cases that come before its memory is given back
  int late_rank = -1;         ///< dawdles before it calls
  int slow_reader = -1;       ///< dawdles before it looks at the result
  std::uint64_t numbers = 0;  ///< names the terms
};
std::string text_of(const PlayedCase& played);

/// How often memory of a kind was allocated: a full heap gives none.
struct Uses {
  int partials = 0;
  int gathered = 0;
  int refused = 0;
};

/// One rank's player.
class Player {
 public:
  explicit Player(SharedCollectives& collectives) : collectives_(collectives) {}
  ~Player();
  Player(const Player&) = delete;
  Player& operator=(const Player&) = delete;

  /// Throws std::runtime_error where a result has other bits than the sum in rank order.
  void play(const PlayedCase& played);
  /// Gives everything back, and throws as `play` does.
  void finish();
  const Uses& uses() const { return uses_; }

 private:
  struct Memory {
    std::byte* at = nullptr;
    std::vector<std::byte> own;  ///< where it is elsewhere
    bool shared = false;         ///< to be given back
    int kept_for = 0;
  };
  /// The peers' partials of an exchange, which stay as they are until this rank's is given back.
  struct Lease {
    PlayedCase played;
    std::vector<const std::byte*> terms;
  };
  Memory take(Where where, std::size_t bytes, Dtype dtype);
  void give_back_old_ones();
  void give_back(const Memory& memory);
  void read_again(const Lease& lease) const;
  void call(const PlayedCase& played, const std::byte* from, std::byte* to);
  void check(const PlayedCase& played, const std::byte* result) const;

  SharedCollectives& collectives_;
  std::vector<Memory> kept_;
  std::vector<Lease> leases_;
  Uses uses_;
};

/// Plays all of them on `ranks` threads; gives what each rank complains of.
std::vector<std::string> play_on_threads(int ranks, const std::vector<PlayedCase>& cases, Uses& uses);

}  // namespace tpsp
