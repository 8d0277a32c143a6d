#include "mpi_parts.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "mpi_check.h"

namespace tpsp {
namespace {

// Consecutive parts of `total` elements.
template <typename Call>
void in_parts(std::size_t total, std::size_t most, const Call& call) {
  for (std::size_t first = 0; first < total; first += most) {
    call(first, static_cast<int>(std::min(most, total - first)));
  }
}

const void* at(const void* memory, std::size_t elements, const MpiElement& element) {
  if (memory == MPI_IN_PLACE) return memory;
  return static_cast<const std::byte*>(memory) + elements * element.bytes;
}
void* at(void* memory, std::size_t elements, const MpiElement& element) {
  return static_cast<std::byte*>(memory) + elements * element.bytes;
}

int rank_in(MPI_Comm comm) {
  int rank = 0;
  TPSP_MPI(MPI_Comm_rank(comm, &rank));
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = 0;
  TPSP_MPI(MPI_Comm_size(comm, &size));
  return size;
}

/// Some elements of a block of `block` elements; the next of them lies in the next block.
class PartOfBlock {
 public:
  PartOfBlock(int count, std::size_t block, const MpiElement& element) {
    MPI_Datatype some = MPI_DATATYPE_NULL;
    TPSP_MPI(MPI_Type_contiguous(count, element.type, &some));
    TPSP_MPI(MPI_Type_create_resized(some, 0, static_cast<MPI_Aint>(block * element.bytes), &type_));
    TPSP_MPI(MPI_Type_free(&some));
    TPSP_MPI(MPI_Type_commit(&type_));
  }
  ~PartOfBlock() { MPI_Type_free(&type_); }
  PartOfBlock(const PartOfBlock&) = delete;
  PartOfBlock& operator=(const PartOfBlock&) = delete;
  MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

std::vector<std::string> texts_of(const std::string& all, const std::vector<std::uint64_t>& lengths) {
  std::vector<std::string> texts;
  std::size_t first = 0;
  for (const auto length : lengths) {
    texts.push_back(all.substr(first, length));
    first += length;
  }
  return texts;
}

}  // namespace

void mpi_all_reduce(const void* from, void* to, std::size_t count, MpiElement element, MPI_Op op, MpiCalls calls) {
  in_parts(count, calls.most, [&](std::size_t first, int some) {
    TPSP_MPI(MPI_Allreduce(at(from, first, element), at(to, first, element), some, element.type, op, calls.comm));
  });
}

void mpi_all_gather(const void* from, void* to, std::size_t count, MpiElement element, MpiCalls calls) {
  if (count <= calls.most) {
    const auto some = static_cast<int>(count);
    TPSP_MPI(MPI_Allgather(from, some, element.type, to, some, element.type, calls.comm));
    return;
  }
  in_parts(count, calls.most, [&](std::size_t first, int some) {
    const PartOfBlock part(some, count, element);
    TPSP_MPI(
        MPI_Allgather(at(from, first, element), some, element.type, at(to, first, element), 1, part.get(), calls.comm));
  });
}

void mpi_reduce_scatter(const void* from, void* to, std::size_t count, MpiElement element, MPI_Op op, MpiCalls calls) {
  if (count <= calls.most) {
    TPSP_MPI(MPI_Reduce_scatter_block(from, to, static_cast<int>(count), element.type, op, calls.comm));
    return;
  }
  const auto ranks = size_of(calls.comm);
  for (int rank = 0; rank < ranks; ++rank) {  // operations are not defined for PartOfBlock's types
    const auto* const block = at(from, static_cast<std::size_t>(rank) * count, element);
    in_parts(count, calls.most, [&](std::size_t first, int some) {
      TPSP_MPI(MPI_Reduce(at(block, first, element), at(to, first, element), some, element.type, op, rank, calls.comm));
    });
  }
}

void mpi_all_to_all(const void* from, void* to, std::size_t count, MpiElement element, MpiCalls calls) {
  if (count <= calls.most) {
    const auto some = static_cast<int>(count);
    TPSP_MPI(MPI_Alltoall(from, some, element.type, to, some, element.type, calls.comm));
    return;
  }
  in_parts(count, calls.most, [&](std::size_t first, int some) {
    const PartOfBlock part(some, count, element);
    TPSP_MPI(MPI_Alltoall(at(from, first, element), 1, part.get(), at(to, first, element), 1, part.get(), calls.comm));
  });
}

std::vector<std::string> mpi_exchange(const std::string& mine, MpiCalls calls) {
  const auto ranks = static_cast<std::size_t>(size_of(calls.comm));
  const std::uint64_t length = mine.size();
  std::vector<std::uint64_t> lengths(ranks);
  TPSP_MPI(MPI_Allgather(&length, 1, MPI_UINT64_T, lengths.data(), 1, MPI_UINT64_T, calls.comm));
  const auto total = std::accumulate(lengths.begin(), lengths.end(), std::uint64_t{0});
  std::string all(total, '\0');
  if (total <= calls.most) {
    const std::vector<int> counts(lengths.begin(), lengths.end());
    std::vector<int> offsets(ranks);
    std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
    TPSP_MPI(MPI_Allgatherv(mine.data(), static_cast<int>(length), MPI_CHAR, all.data(), counts.data(), offsets.data(),
                            MPI_CHAR, calls.comm));
    return texts_of(all, lengths);
  }
  auto* to = all.data();
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    if (static_cast<int>(rank) == rank_in(calls.comm)) std::copy(mine.begin(), mine.end(), to);
    in_parts(lengths[rank], calls.most, [&](std::size_t first, int some) {
      TPSP_MPI(MPI_Bcast(to + first, some, MPI_CHAR, static_cast<int>(rank), calls.comm));
    });
    to += lengths[rank];
  }
  return texts_of(all, lengths);
}

}  // namespace tpsp
