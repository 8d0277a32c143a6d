// Collectives that MPI can not count in one call, with a limit of a few elements instead of 2^31. Run by mpirun; ends
// with 1 and says so on the first wrong result.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "mpi_parts.h"
#include "tpsp/comm/world.h"

using namespace tpsp;

namespace {

using Numbers = std::vector<int>;
constexpr MpiElement integer{.type = MPI_INT, .bytes = sizeof(int)};

int failures = 0;

template <typename Value>
void require(const char* what, std::size_t count, std::size_t most, const Value& found, const Value& wanted) {
  if (found == wanted) return;
  fmt::print("{} of {} elements, {} a call: {} instead of {}\n", what, count, most, found, wanted);
  ++failures;
}

/// Element `i` of what a rank begins with.
int number(int rank, std::size_t i) { return 1000 * rank + static_cast<int>(i); }

Numbers numbers(int rank, std::size_t first, std::size_t count) {
  Numbers all;
  for (std::size_t i = first; i < first + count; ++i) all.push_back(number(rank, i));
  return all;
}

Numbers sum_of_numbers(int ranks, std::size_t first, std::size_t count) {
  Numbers sum(count, 0);
  for (int rank = 0; rank < ranks; ++rank) {
    for (std::size_t i = 0; i < count; ++i) sum[i] += number(rank, first + i);
  }
  return sum;
}

void check_sums(const World& world, std::size_t count, MpiCalls calls) {
  const auto ranks = static_cast<std::size_t>(world.size());
  const auto mine = numbers(world.rank(), 0, count * ranks);
  Numbers sum(count * ranks);
  mpi_all_reduce(mine.data(), sum.data(), sum.size(), integer, MPI_SUM, calls);
  require("all-reduce", count, calls.most, sum, sum_of_numbers(world.size(), 0, sum.size()));
  auto in_place = mine;
  mpi_all_reduce(MPI_IN_PLACE, in_place.data(), in_place.size(), integer, MPI_SUM, calls);
  require("all-reduce in place", count, calls.most, in_place, sum);
  Numbers shard(count);
  mpi_reduce_scatter(mine.data(), shard.data(), count, integer, MPI_SUM, calls);
  const auto first = static_cast<std::size_t>(world.rank()) * count;
  require("reduce-scatter", count, calls.most, shard, sum_of_numbers(world.size(), first, count));
}

void check_moves(const World& world, std::size_t count, MpiCalls calls) {
  const auto ranks = static_cast<std::size_t>(world.size());
  const auto mine = numbers(world.rank(), 0, count);
  Numbers gathered;
  Numbers from_all;
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto theirs = numbers(rank, 0, count);
    gathered.insert(gathered.end(), theirs.begin(), theirs.end());
    const auto for_me = numbers(rank, static_cast<std::size_t>(world.rank()) * count, count);
    from_all.insert(from_all.end(), for_me.begin(), for_me.end());
  }
  Numbers all(count * ranks);
  mpi_all_gather(mine.data(), all.data(), count, integer, calls);
  require("all-gather", count, calls.most, all, gathered);
  Numbers in_place(count * ranks);
  std::copy(mine.begin(), mine.end(), in_place.begin() + static_cast<std::ptrdiff_t>(count) * world.rank());
  mpi_all_gather(MPI_IN_PLACE, in_place.data(), count, integer, calls);
  require("all-gather in place", count, calls.most, in_place, gathered);
  const auto for_all = numbers(world.rank(), 0, count * ranks);
  mpi_all_to_all(for_all.data(), all.data(), count, integer, calls);
  require("all-to-all", count, calls.most, all, from_all);
}

void check_exchange(const World& world, std::size_t count, MpiCalls calls) {
  const auto text = [&](int rank) {
    return std::string(count * static_cast<std::size_t>(rank), static_cast<char>('a' + rank));
  };
  std::vector<std::string> wanted;
  for (int rank = 0; rank < world.size(); ++rank) wanted.push_back(text(rank));
  require("exchange", count, calls.most, mpi_exchange(text(world.rank()), calls), wanted);
}

}  // namespace

int main() {
  const auto world = make_mpi_world();
  for (const std::size_t count : {0, 1, 6, 7, 8, 30}) {
    for (const std::size_t most : {std::size_t{1}, std::size_t{7}, most_mpi_count}) {
      const MpiCalls calls{.comm = MPI_COMM_WORLD, .most = most};
      check_sums(*world, count, calls);
      check_moves(*world, count, calls);
      check_exchange(*world, count, calls);
    }
  }
  return failures == 0 ? 0 : 1;
}
