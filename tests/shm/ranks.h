// Ranks as threads on the memory of this process, without MPI and without LibTorch.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tpsp/core/error.h"
#include "tpsp/shm/process_memory.h"

namespace tpsp {

struct PeerGone : std::runtime_error {
  PeerGone() : std::runtime_error("a peer is gone") {}
};

/// What each of `ranks` threads threw, in rank order; empty for one that returned. When one has failed, those who wait
/// for it learn it from `check_peer`.
inline std::vector<std::string> thrown_on_threads(
    int ranks, const std::function<void(int rank, const std::function<void(int)>& check_peer)>& body) {
  std::vector<std::string> texts(static_cast<std::size_t>(ranks));
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank, [&](int) {
          if (failed) throw PeerGone();
        });
      } catch (const std::exception& error) {
        texts[static_cast<std::size_t>(rank)] = error.what();
        failed = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return texts;
}

/// Bytes of each rank's arena of partial buffers and of the common arena of gathered ones.
struct HeapSizes {
  std::size_t partials = 0;
  std::size_t gathered = 0;
};

/// The same with collectives. What a test finds on a rank it throws.
inline std::vector<std::string> on_ranks(int ranks, const HeapSizes& arenas,
                                         const std::function<void(SharedCollectives&)>& body) {
  const auto memory =
      std::make_shared<ProcessMemory>(ranks, SharedCollectives::stage_bytes + arenas.partials, arenas.gathered);
  return thrown_on_threads(ranks, [&](int rank, const std::function<void(int)>& check_peer) {
    SharedCollectives collectives(memory, rank, ranks, check_peer);
    body(collectives);
  });
}

/// What they throw when all went well.
inline std::vector<std::string> nothing_on(int ranks) {
  return std::vector<std::string>(static_cast<std::size_t>(ranks));
}

}  // namespace tpsp
