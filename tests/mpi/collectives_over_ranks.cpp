// The collectives of one backend, on sizes that do not divide over the ranks too, and on both kinds of memory. Run by
// mpirun, on one host or on several; ends with 1 and says so on the first wrong result.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tpsp/comm/backend.h"
#include "tpsp/comm/mesh.h"

using namespace tpsp;

namespace {

struct Case {
  std::int64_t count;
  c10::ScalarType dtype;
  bool shared;    ///< partials are in registered memory of the process group
  bool in_place;  ///< the partial becomes the sum, and the shard is a part of the gathered tensor
};

std::string words_of(const Case& one) {
  return fmt::format("{} elements of {}{}{}", one.count, c10::toString(one.dtype), one.shared ? ", shared" : "",
                     one.in_place ? ", in place" : "");
}

/// Small integers, other ones on each rank: their sums are exact in bfloat16.
at::Tensor numbers(std::int64_t count, int rank) {
  return at::arange(count, at::kLong).mul(rank + 3).remainder(7).add(rank).to(at::kFloat);
}

at::Tensor sum_of_numbers(std::int64_t count, int ranks) {
  auto sum = at::zeros({count});
  for (int rank = 0; rank < ranks; ++rank) sum += numbers(count, rank);
  return sum;
}

/// Numbers whose sum depends on its order.
at::Tensor fractions(std::int64_t count, int rank) {
  return at::arange(count, at::kFloat).mul(0.7F).add(static_cast<float>(rank) * 1.3F).sin();
}

class Checker {
 public:
  Checker(World& world, ProcessGroup& comm) : world_(world), comm_(comm) {}

  bool is_right(const Case& one) {
    return agreed(words_of(one) + ", all-reduce", all_reduce_is_right(one)) &&
           agreed(words_of(one) + ", bits", bits_are_the_same(one)) &&
           agreed(words_of(one) + ", reduce-scatter", reduce_scatter_is_right(one)) &&
           agreed(words_of(one) + ", all-gather", all_gather_is_right(one)) &&
           agreed(words_of(one) + ", deferred reductions", leases_are_right(one));
  }

 private:
  bool agreed(const std::string& what, bool right) {
    int wrong_ranks = 0;
    for (const auto& entry : world_.exchange(right ? "" : "x")) wrong_ranks += entry.empty() ? 0 : 1;
    if (wrong_ranks > 0 && world_.rank() == 0) fmt::print("wrong on {} ranks: {}\n", wrong_ranks, what);
    return wrong_ranks == 0;
  }

  at::Tensor partial(const Case& one, const at::Tensor& values) {
    const auto options = at::dtype(one.dtype);
    auto memory = one.shared ? comm_.alloc_partial({values.numel()}, options) : at::empty({values.numel()}, options);
    return memory.copy_(values);
  }

  at::Tensor summed(const Case& one, const at::Tensor& values) {
    const auto mine = partial(one, values);
    auto sum = one.in_place ? mine : at::empty_like(mine);
    comm_.all_reduce(mine, sum);
    return sum;
  }

  bool all_reduce_is_right(const Case& one) {
    const auto sum = summed(one, numbers(one.count, comm_.rank()));
    return sum.to(at::kFloat).equal(sum_of_numbers(one.count, comm_.size()));
  }

  bool bits_are_the_same(const Case& one) {
    const auto values = fractions(one.count, comm_.rank());
    const auto first = summed(one, values);
    const std::string bytes(static_cast<const char*>(first.const_data_ptr()), first.nbytes());
    const auto all = world_.exchange(bytes);
    return summed(one, values).equal(first) &&
           std::all_of(all.begin(), all.end(), [&](const auto& theirs) { return theirs == bytes; });
  }

  bool reduce_scatter_is_right(const Case& one) {
    const auto mine = partial(one, numbers(one.count * comm_.size(), comm_.rank()));
    const auto shard = at::empty({one.count}, mine.options());
    comm_.reduce_scatter(mine, shard);
    const auto sum = sum_of_numbers(one.count * comm_.size(), comm_.size());
    return shard.to(at::kFloat).equal(sum.narrow(0, one.count * comm_.rank(), one.count));
  }

  bool all_gather_is_right(const Case& one) {
    const auto values = sum_of_numbers(one.count * comm_.size(), comm_.size()).to(one.dtype);
    const auto mine = values.narrow(0, one.count * comm_.rank(), one.count);
    auto full = comm_.alloc_gathered({values.numel()}, values.options());
    if (!comm_.is_shared(full)) full.zero_();  // else a peer may have written its block already
    const auto place = full.narrow(0, one.count * comm_.rank(), one.count);
    comm_.all_gather(one.in_place ? place.copy_(mine) : mine, full);
    return full.equal(values);
  }

  // Two deferred reductions at once, read after other collectives and after memory was asked for again.
  bool leases_are_right(const Case& one) {
    const auto ranks = comm_.size();
    const auto shards =
        comm_.defer_reduction(Collective::reduce_scatter, partial(one, numbers(one.count * ranks, comm_.rank())));
    const auto sums = comm_.defer_reduction(Collective::all_reduce, partial(one, numbers(one.count, comm_.rank())));
    for (int i = 0; i < 3; ++i) {
      summed(one, fractions(one.count, comm_.rank() + i));
      if (!all_gather_is_right(one)) return false;
    }
    const auto sum = sum_of_numbers(one.count * ranks, ranks).narrow(0, one.count * comm_.rank(), one.count);
    return total(shards).equal(sum) && total(sums).equal(sum_of_numbers(one.count, ranks));
  }

  static at::Tensor total(const std::vector<at::Tensor>& terms) {
    auto sum = at::zeros(terms.front().sizes());
    for (const auto& term : terms) sum += term.to(at::kFloat);
    return sum;
  }

  World& world_;
  ProcessGroup& comm_;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::int64_t count : {1, 2, 3, 4, 5, 7, 8, 63, 4099, 700'001}) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      for (const bool shared : {false, true}) {
        for (const bool in_place : {false, true}) all.push_back({count, dtype, shared, in_place});
      }
    }
  }
  return all;
}

}  // namespace

// Usage: collectives_over_ranks [BACKEND [TP]]: BACKEND (hierarchical) on tensor-parallel groups of TP ranks (all).
int main(int argc, char** argv) {
  const auto world = make_mpi_world();
  const std::string backend = argc > 1 ? argv[1] : "hierarchical";
  const Mesh mesh(*world, argc > 2 ? std::stoi(argv[2]) : world->size());
  const auto comm = make_process_group(standard_backends(), backend, mesh.tp(), at::kCPU);
  comm->reserve({.partial_bytes = std::size_t{64} << 20, .gathered_bytes = std::size_t{64} << 20});
  Checker checker(mesh.tp(), *comm);
  const auto all = cases();
  const bool mine = std::all_of(all.begin(), all.end(), [&](const auto& one) { return checker.is_right(one); });
  const bool right = max_over_ranks(*world, {mine ? 0.0 : 1.0}).front() == 0;
  if (right && world->rank() == 0)
    fmt::print("{}: {} cases over {} ranks: all right\n", backend, all.size(), world->size());
  return right ? 0 : 1;
}
