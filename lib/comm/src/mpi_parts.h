// Collectives of MPI on any number of elements. MPI 3.1 counts with 32 bits: what is larger moves in parts, one call
// each, all ranks with the same counts.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "tpsp/core/dtype.h"

namespace tpsp {

inline constexpr std::size_t most_mpi_count = std::numeric_limits<int>::max();

/// MPI's name for an element, and its size.
struct MpiElement {
  MPI_Datatype type;
  std::size_t bytes;
};

/// A bfloat16 travels as 16-bit words: MPI 3.1 knows none.
inline MpiElement mpi_element(Dtype dtype) {
  return {.type = dtype == Dtype::bf16 ? MPI_UINT16_T : MPI_FLOAT, .bytes = bytes_of(dtype)};
}

/// Where the calls go, and how many elements one of them may count.
struct MpiCalls {
  MPI_Comm comm;
  std::size_t most = most_mpi_count;
};

/// `from` may be MPI_IN_PLACE.
void mpi_all_reduce(const void* from, void* to, std::size_t count, MpiElement element, MPI_Op op, MpiCalls calls);
/// `count` is a block's, one for each rank; `from` may be MPI_IN_PLACE, the block being in `to` then.
void mpi_all_gather(const void* from, void* to, std::size_t count, MpiElement element, MpiCalls calls);
void mpi_reduce_scatter(const void* from, void* to, std::size_t count, MpiElement element, MPI_Op op, MpiCalls calls);
void mpi_all_to_all(const void* from, void* to, std::size_t count, MpiElement element, MpiCalls calls);
/// Every rank's bytes, in rank order.
std::vector<std::string> mpi_exchange(const std::string& mine, MpiCalls calls);

}  // namespace tpsp
