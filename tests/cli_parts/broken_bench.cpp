// tpsp-bench with added parts: a column, backends that compute wrong results, and one that fails.
#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>

#include "support/expected_collectives.h"
#include "support/forwarding.h"
#include "tpsp/cli/program.h"

namespace tpsp {
namespace {

/// MPI's collectives with `before_call` run before each one, given its number from 1, and `after_all_reduce` and
/// `after_all_gather` after each of these.
class MeddlingProcessGroup final : public ForwardingProcessGroup {
 public:
  struct Meddling {
    std::function<void(int call)> before_call = [](int) {};
    std::function<void(const at::Tensor& sum)> after_all_reduce = [](const at::Tensor&) {};
    std::function<void(const at::Tensor& full)> after_all_gather = [](const at::Tensor&) {};
  };

  MeddlingProcessGroup(std::unique_ptr<ProcessGroup> inner, std::string name, Meddling meddling)
      : ForwardingProcessGroup(*inner),
        inner_(std::move(inner)),
        name_(std::move(name)),
        meddling_(std::move(meddling)) {}

  std::string_view backend() const override { return name_; }
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    meddling_.before_call(++calls_);
    inner_->all_reduce(partial, sum);
    meddling_.after_all_reduce(sum);
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    meddling_.before_call(++calls_);
    inner_->all_gather(shard, full);
    meddling_.after_all_gather(full);
  }
  void reduce_scatter(const at::Tensor& partial, const at::Tensor& shard) override {
    meddling_.before_call(++calls_);
    inner_->reduce_scatter(partial, shard);
  }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    return ProcessGroup::defer_reduction(kind, partial);  // which comes back to the collectives above
  }

 private:
  std::unique_ptr<ProcessGroup> inner_;
  std::string name_;
  Meddling meddling_;
  int calls_ = 0;
};

using Meddle = std::function<MeddlingProcessGroup::Meddling(int rank)>;

Backend meddling_backend(const std::string& name, const Meddle& meddle) {
  const auto all = standard_backends();
  const auto mpi = *std::find_if(all.begin(), all.end(), [](const Backend& backend) { return backend.name == "mpi"; });
  return {.name = name,
          .meaning = "for tests",
          .preference = 0,
          .refusal = mpi.refusal,
          .make = [=](World& world, at::Device device) {
            return std::make_unique<MeddlingProcessGroup>(mpi.make(world, device), name, meddle(world.rank()));
          }};
}

// Every all-reduce is wrong by one in its first element.
Backend broken_backend() {
  return meddling_backend("broken", [](int) {
    return MeddlingProcessGroup::Meddling{.after_all_reduce = [](const at::Tensor& sum) { sum.view(-1)[0].add_(1); }};
  });
}

// What rank 1 alone receives from an all-gather is zero.
Backend zeroed_backend() {
  return meddling_backend("zeroed", [](int rank) {
    return MeddlingProcessGroup::Meddling{.after_all_gather = [rank](const at::Tensor& full) {
      if (rank == 1) full.zero_();
    }};
  });
}

// From the second forward on, all-reduces give what those of the first gave: buffers that were not written again. For
// `--tp` over two layers, whose forward has five.
Backend stale_backend() {
  return meddling_backend("stale", [](int) {
    const auto earlier = std::make_shared<std::vector<at::Tensor>>();
    const auto calls = std::make_shared<std::size_t>(0);
    return MeddlingProcessGroup::Meddling{.after_all_reduce = [=](const at::Tensor& sum) {
      constexpr auto calls_of_a_forward = static_cast<std::size_t>(expected_reductions(2));
      const auto call = (*calls)++;
      if (call < calls_of_a_forward) return earlier->push_back(sum.clone());
      sum.copy_(earlier->at(call % calls_of_a_forward));
    }};
  });
}

// Rank 1 fails inside the second case of `--tp --warmup 0 --reps 1` over two layers: a forward of 6 collectives for the
// clock, one for the profile and one for the check, and again the first of the next case.
Backend throwing_backend() {
  constexpr int first_case = 18;
  return meddling_backend("throwing", [](int rank) {
    return MeddlingProcessGroup::Meddling{.before_call = [rank](int call) {
      if (rank == 1 && call == first_case + 2) throw std::runtime_error("the cable was pulled");
    }};
  });
}

Column tokens_column() {
  return {"tokens_per_forward", "tokens", "tokens that one forward reads", "batch * seq",
          [](const Row& row) { return row.batch * row.seq; }};
}

}  // namespace
}  // namespace tpsp

int main(int argc, char** argv) {
  auto backends = tpsp::standard_backends();
  backends.push_back(tpsp::broken_backend());
  backends.push_back(tpsp::zeroed_backend());
  backends.push_back(tpsp::stale_backend());
  backends.push_back(tpsp::throwing_backend());
  auto columns = tpsp::standard_columns();
  columns.push_back(tpsp::tokens_column());
  return tpsp::run_program(argc, argv, {backends, columns});
}
