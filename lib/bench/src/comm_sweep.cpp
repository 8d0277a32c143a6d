#include "tpsp/bench/comm_sweep.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>

#include "cases.h"
#include "comm_case.h"
#include "disturbances.h"
#include "fill_row.h"
#include "fit.h"
#include "tpsp/comm/dtype.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::vector<Buffer> buffers_of(const CommSweep& sweep, CommOp op) {
  return op == CommOp::fused_add_norm ? std::vector{Buffer::registered} : sweep.buffers;
}

// In the order of measurement; sizes that are rounded down to one are one.
std::vector<CommShape> shapes_of(const CommSweep& sweep, int ranks) {
  std::vector<CommShape> shapes;
  for (const auto op : sweep.ops) {
    for (const auto dtype : sweep.dtypes) {
      for (const auto buffer : buffers_of(sweep, op)) {
        const auto first = static_cast<std::ptrdiff_t>(shapes.size());
        for (const auto bytes : sweep.bytes) {
          const auto shape = shape_of(op, buffer, bytes, ranks, dtype, sweep.device);
          const bool known = std::any_of(shapes.begin() + first, shapes.end(),
                                         [&](const auto& other) { return other.elements == shape.elements; });
          if (!known) shapes.push_back(shape);
        }
      }
    }
  }
  return shapes;
}

std::string words_of(const CommShape& shape) {
  return fmt::format("{} of {}, {}, {}", to_string(shape.op), human_bytes(shape.bytes()), to_string(shape.buffer),
                     to_string(dtype_of(shape.dtype)));
}

// Buffers and what they are compared with, of one backend.
std::int64_t needed_bytes(const CommShape& shape) {
  constexpr std::int64_t most_buffers = 3;
  constexpr std::int64_t compared = 5;  // in fp32
  return most_buffers * shape.bytes() + compared * shape.elements * static_cast<std::int64_t>(sizeof(float));
}

Workload repeated(int calls, CommCase& one) {
  return [calls, &one] {
    for (int i = 0; i < calls; ++i) one.call();
  };
}

// The slowest rank's.
double seconds_of(int calls, CommCase& one, World& world, DeviceProbe& probe) {
  return max_over_ranks(world, {timed_s(repeated(calls, one), world, probe)}).front();
}

// As many calls as take long enough for a barrier and a clock not to matter; the same on all ranks. The quickest of a
// few tries counts, since a busy machine makes single ones slow.
int calls_a_sample(CommCase& one, World& world, DeviceProbe& probe) {
  constexpr double enough_s = 200e-6;
  constexpr double surely_s = 20 * enough_s;
  constexpr int tries = 5;
  constexpr int tried = 10;
  constexpr double most = 1000;
  const auto quickest = [&](int calls) {
    double least_s = seconds_of(calls, one, world, probe);
    for (int i = 1; i < tries && least_s < surely_s * calls; ++i) {
      least_s = std::min(least_s, seconds_of(calls, one, world, probe));
    }
    return least_s / calls;
  };
  if (quickest(1) >= enough_s) return 1;
  return static_cast<int>(std::clamp(std::ceil(enough_s / quickest(tried)), 1.0, most));
}

Measurement per_call(Measurement measured, int calls) {
  const auto divide = [&](std::vector<double>& samples) {
    for (auto& sample : samples) sample /= calls;
  };
  divide(measured.samples_s);
  for (auto& samples : measured.rank_samples_s) divide(samples);
  auto& counts = measured.counts;
  for (auto* count : {&counts.all_reduces, &counts.all_gathers, &counts.reduce_scatters, &counts.bytes})
    *count /= calls;
  return measured;
}

struct CommContext {
  const CommSweep& sweep;
  World& world;
  const std::vector<ProcessGroup*>& comms;
  DeviceProbe& probe;
  const Follower& follower;
  TimeBreakdown& breakdown;
  std::vector<std::string> hosts;
};

// Whether a call moves any data between the ranks: one rank moves none, nor does a gather of shards that lie in memory
// that all ranks read.
bool moves_data(CommOp op, Buffer buffer, const ProcessGroup& group) {
  const bool in_place = op == CommOp::all_gather && buffer == Buffer::registered && group.shares_memory();
  return group.size() > 1 && !in_place;
}

/// One shape on every process group.
class ShapeRun {
 public:
  ShapeRun(const CommContext& context, const CommShape& shape)
      : context_(context), shape_(shape), counter_(context.world.size()) {
    for (const auto* comm : context.comms) rows_.push_back(blank_row(*comm));
  }

  bool is_done() const {
    const auto& known = context_.follower.is_done;
    return known && std::all_of(rows_.begin(), rows_.end(), [&](const Row& row) { return known(row.key); });
  }
  const std::vector<Row>& blank_rows() const { return rows_; }

  std::vector<Row> rows() {
    const auto backends = static_cast<std::int64_t>(rows_.size());
    const auto lack = lack_of_memory(backends * needed_bytes(shape_), context_.probe, context_.world,
                                     "use smaller --bytes, or fewer backends");
    if (lack) {
      for (auto& row : rows_) {
        row.status = Status::skipped;
        row.message = "the case " + *lack;
      }
      return rows_;
    }
    for (auto* comm : context_.comms) reserve_arena(*comm);
    for (auto* comm : context_.comms) cases_.push_back(std::make_unique<CommCase>(shape_, *comm, &counter_));
    auto wrong = check(1);
    measure_all();
    const auto wrong_later = check(2);
    std::transform(wrong.begin(), wrong.end(), wrong_later.begin(), wrong.begin(), std::plus<>());
    for (std::size_t i = 0; i < rows_.size(); ++i) fill_wrong(rows_[i], wrong[i]);
    return rows_;
  }

 private:
  Row blank_row(const ProcessGroup& comm) const {
    const auto& sweep = context_.sweep;
    auto row = row_of(case_of(sweep, shape_, comm), sweep.provenance);
    row.utc_time = utc_time();
    return row;
  }

  void reserve_arena(ProcessGroup& comm) const {
    comm.reserve(arena_for(shape_, comm));
    // What an earlier case gave back is handed out again only after the ranks have met.
    const auto options = at::dtype(shape_.dtype).device(shape_.device);
    comm.all_gather(at::zeros({1}, options), at::zeros({comm.size()}, options));
  }

  void report_step(std::string_view phase, int done = 0) const {
    if (context_.follower.step) context_.follower.step({words_of(shape_), phase, done});
  }

  // Wrong elements of each backend, over all ranks.
  std::vector<std::int64_t> check(std::uint64_t salt) {
    report_step("check");
    const ScopedTimer timer(context_.breakdown.check_s);
    std::vector<double> mine;
    for (auto& one : cases_) mine.push_back(static_cast<double>(one->wrong(salt, context_.world, context_.probe)));
    std::vector<std::int64_t> sums(mine.size());
    for (const auto& theirs : exchange_numbers(context_.world, mine)) {
      std::transform(theirs.begin(), theirs.end(), sums.begin(), sums.begin(),
                     [](double count, std::int64_t sum) { return sum + static_cast<std::int64_t>(count); });
    }
    return sums;
  }

  void measure_all() {
    std::vector<int> calls;
    std::vector<Workload> workloads;
    for (const auto& one : cases_) {
      calls.push_back(calls_a_sample(*one, context_.world, context_.probe));
      workloads.push_back(repeated(calls.back(), *one));
    }
    const auto measured =
        measure_with_disturbances(workloads, context_.sweep.protocol, context_.world, counter_, context_.probe,
                                  [&](auto phase, int done) { report_step(phase, done); });
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      context_.breakdown.forwards_s += measured.results[i].forwards_s;
      fill_time(rows_[i], *context_.comms[i], measured.results[i], calls[i]);
      rows_[i].warnings.insert(rows_[i].warnings.end(), measured.disturbances.begin(), measured.disturbances.end());
    }
  }

  void fill_time(Row& row, const ProcessGroup& group, const Measurement& measured, int calls) const {
    std::vector<std::string> names;
    for (const auto& other : rows_) names.push_back(other.backend);
    fill_order(row, context_.sweep.protocol, names);
    row.calls = calls;
    fill_measurement(row, per_call(measured, calls), context_.hosts);
    if (!moves_data(shape_.op, shape_.buffer, group)) return;
    row.algbw_bytes_per_s = static_cast<double>(shape_.bytes()) / *row.latency_s;
    row.busbw_bytes_per_s = bus_bandwidth(shape_.op, *row.algbw_bytes_per_s, row.world);
  }

  static void fill_wrong(Row& row, std::int64_t wrong) {
    row.wrong = wrong;
    row.check = wrong == 0 ? Check::pass : Check::fail;
    if (wrong == 0) return;
    row.status = Status::failed;
    row.message =
        fmt::format("{} of the results of two calls {} wrong", counted(wrong, "element"), wrong == 1 ? "is" : "are");
  }

  const CommContext& context_;
  CommShape shape_;
  std::vector<Row> rows_;
  EventCounter counter_;
  std::vector<std::unique_ptr<CommCase>> cases_;
};

void require_sizes(const CommSweep& sweep, int ranks) {
  const auto least = smallest_message(sweep, ranks);
  const auto found = std::find_if(sweep.bytes.begin(), sweep.bytes.end(), [&](auto bytes) { return bytes < least; });
  if (found == sweep.bytes.end()) return;
  throw bad_input({.where = "--bytes",
                   .what = fmt::format("{} is less than one element for each of {}", *found, counted(ranks, "rank")),
                   .remedy = fmt::format("give at least {}", least)});
}

}  // namespace

std::string_view to_string(CommOp op) {
  switch (op) {
    case CommOp::all_reduce: return "all-reduce";
    case CommOp::reduce_scatter: return "reduce-scatter";
    case CommOp::all_gather: return "all-gather";
    case CommOp::all_gather_read: return "all-gather-read";
    case CommOp::fused_add_norm: return "fused-add-norm";
  }
  return "?";
}

std::string_view to_string(Buffer buffer) { return buffer == Buffer::user ? "user" : "registered"; }

double bus_bandwidth(CommOp op, double algbw, int ranks) {
  const double rounds = op == CommOp::all_reduce || op == CommOp::fused_add_norm ? 2 : 1;
  return algbw * rounds * (ranks - 1) / ranks;
}

std::int64_t smallest_message(const CommSweep& sweep, int ranks) {
  std::size_t largest = 0;
  for (const auto dtype : sweep.dtypes) largest = std::max(largest, c10::elementSize(dtype));
  return static_cast<std::int64_t>(largest) * ranks;
}

std::int64_t comm_cases(const CommSweep& sweep, int ranks) {
  return static_cast<std::int64_t>(shapes_of(sweep, ranks).size());
}

void run_comm_sweep(const CommSweep& sweep, World& world, const std::vector<ProcessGroup*>& comms,
                    const Follower& follower) {
  require_sizes(sweep, world.size());
  const c10::InferenceMode no_gradients;
  const auto probe = make_device_probe(sweep.device);
  TimeBreakdown ignored;
  const CommContext context{.sweep = sweep,
                            .world = world,
                            .comms = comms,
                            .probe = *probe,
                            .follower = follower,
                            .breakdown = follower.breakdown != nullptr ? *follower.breakdown : ignored,
                            .hosts = world.exchange(host_name())};
  for (const auto& shape : shapes_of(sweep, world.size())) {
    std::vector<Row> rows;
    {
      ShapeRun run(context, shape);
      if (run.is_done()) {
        const auto& left_out = run.blank_rows();
        if (follower.left_out) std::for_each(left_out.begin(), left_out.end(), follower.left_out);
        continue;
      }
      if (follower.should_stop && follower.should_stop()) return;
      rows = run.rows();
    }
    std::for_each(rows.begin(), rows.end(), follower.row);
  }
}

}  // namespace tpsp
