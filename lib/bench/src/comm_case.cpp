#include "comm_case.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "tpsp/comm/dry.h"
#include "tpsp/nn/ops.h"

namespace tpsp {
namespace {

constexpr float norm_eps = 1e-5F;

// Small whole numbers that look random, as many as leave the sum over the ranks exact in bf16, which holds every whole
// number up to 256.
class Numbers {
 public:
  Numbers(std::uint64_t salt, int ranks)
      : salt_(salt), mask_(std::bit_floor(std::max<std::uint64_t>(2, 256U / static_cast<std::uint64_t>(ranks))) - 1) {}

  float operator()(int rank, std::int64_t index) const {
    const auto mixed = (static_cast<std::uint64_t>(index) + 1) * 0x9E3779B97F4A7C15 +
                       (static_cast<std::uint64_t>(rank) + 1) * 0xD1B54A32D192ED03 + salt_ * 0x8CB92BA72F3D8DD7;
    return static_cast<float>((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9 >> 40 & mask_);
  }

 private:
  std::uint64_t salt_;
  std::uint64_t mask_;
};

// Elements [first, first + count) of what `number_at` gives, fp32 on the host.
template <typename NumberAt>
at::Tensor tensor_of(std::int64_t first, std::int64_t count, const NumberAt& number_at) {
  auto tensor = at::empty({count}, at::kFloat);
  auto* const data = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < count; ++i) data[i] = number_at(first + i);
  return tensor;
}

// As kernels::add_norm, of full tensors; `stream` and the result are fp32.
at::Tensor added_and_normed(const at::Tensor& stream, const at::Tensor& weight) {
  const auto mean_square = at::mean(at::square(stream), at::IntArrayRef{-1}, /*keepdim=*/true);
  return stream * at::rsqrt(mean_square + norm_eps) * weight;
}

bool is_gather(CommOp op) { return op == CommOp::all_gather || op == CommOp::all_gather_read; }

}  // namespace

CommShape shape_of(CommOp op, Buffer buffer, std::int64_t bytes, int ranks, c10::ScalarType dtype, c10::Device device) {
  constexpr std::uint64_t widest = 4096;
  CommShape shape{.op = op, .buffer = buffer, .dtype = dtype, .device = device};
  auto block = bytes / static_cast<std::int64_t>(c10::elementSize(dtype)) / ranks;
  if (op == CommOp::fused_add_norm && block > 0) {
    shape.width = static_cast<std::int64_t>(std::bit_floor(std::min(widest, static_cast<std::uint64_t>(block))));
    block = block / shape.width * shape.width;
  }
  shape.elements = block * ranks;
  return shape;
}

CommCase::CommCase(const CommShape& shape, ProcessGroup& comm, EventSink* events)
    : shape_(shape), comm_(comm), events_(events) {
  shape.buffer == Buffer::user ? make_plain() : make_in_place();
  if (shape.op != CommOp::all_gather_read) return;
  source_ = at::empty_like(input_);
  if (shape.buffer == Buffer::user) return;
  alternate();
  make_in_place();
}

void CommCase::alternate() {
  std::swap(input_, other_input_);
  std::swap(output_, other_output_);
}

void CommCase::make_plain() {
  const auto options = at::dtype(shape_.dtype).device(shape_.device);
  input_ = at::empty({is_gather(shape_.op) ? block() : shape_.elements}, options);
  output_ = at::empty({shape_.op == CommOp::reduce_scatter ? block() : shape_.elements}, options);
}

void CommCase::make_in_place() {
  const auto options = at::dtype(shape_.dtype).device(shape_.device);
  switch (shape_.op) {
    case CommOp::all_reduce:
      input_ = comm_.alloc_partial({shape_.elements}, options);
      output_ = comm_.shares_memory() ? comm_.alloc_gathered({shape_.elements}, options) : input_;
      break;
    case CommOp::reduce_scatter:
      input_ = comm_.alloc_partial({shape_.elements}, options);
      output_ = at::empty({block()}, options);
      break;
    case CommOp::all_gather:
    case CommOp::all_gather_read:
      output_ = comm_.alloc_gathered({shape_.elements}, options);
      input_ = output_.narrow(0, first(), block());
      break;
    case CommOp::fused_add_norm: {
      const auto rows = block() / shape_.width;
      input_ = comm_.alloc_partial({rows * comm_.size(), shape_.width}, options);
      stream_ = at::empty({rows, shape_.width}, options);
      weight_ = at::empty({shape_.width}, options);
      output_ = comm_.alloc_gathered({rows * comm_.size(), shape_.width}, options);
      shard_ = output_.narrow(0, rows * comm_.rank(), rows);
      break;
    }
  }
}

Event CommCase::event_of(Transition transition) const {
  return {.phase = Phase::move, .module = to_string(shape_.op), .transition = transition, .bytes = shape_.bytes()};
}

void CommCase::call() {
  switch (shape_.op) {
    case CommOp::all_reduce: {
      const EventScope scope(events_, event_of(Transition::all_reduce));
      return comm_.all_reduce(input_, output_);
    }
    case CommOp::reduce_scatter: {
      const EventScope scope(events_, event_of(Transition::reduce_scatter));
      return comm_.reduce_scatter(input_, output_);
    }
    case CommOp::all_gather: return gather(input_);
    case CommOp::all_gather_read: return gather_and_read();
    case CommOp::fused_add_norm: return run_fused_add_norm();
  }
}

void CommCase::gather(const at::Tensor& shard) {
  const EventScope scope(events_, event_of(Transition::all_gather));
  comm_.all_gather(shard, output_);
}

void CommCase::gather_and_read() {
  if (shape_.buffer == Buffer::registered) alternate();
  input_.copy_(source_);
  gather(input_);
  sum_ = at::sum(output_, at::kFloat);
}

void CommCase::run_fused_add_norm() {
  {
    const EventScope scope(events_, event_of(Transition::reduce_scatter));
    ops::add_norm(stream_, comm_.defer_reduction(Collective::reduce_scatter, input_), stream_, weight_, norm_eps,
                  shard_);
  }
  gather(shard_);
}

// Ranks have numbers of their own; the residual stream, which is one for all, has those of the rank after the last, and
// the weights are 1 to 2.
void CommCase::fill(std::uint64_t salt) {
  const Numbers number(salt, comm_.size());
  const auto put = [](const at::Tensor& to, const at::Tensor& from) { to.copy_(from.view_as(to)); };
  put(source_.defined() ? source_ : input_,
      tensor_of(0, input_.numel(), [&](std::int64_t i) { return number(comm_.rank(), i); }));
  if (shape_.op != CommOp::fused_add_norm) return;
  put(stream_, tensor_of(first(), block(), [&](std::int64_t i) { return number(comm_.size(), i); }));
  put(weight_, tensor_of(0, shape_.width, [](std::int64_t i) { return 1 + static_cast<float>(i % 8) / 8; }));
}

at::Tensor CommCase::expected(std::uint64_t salt) const {
  const Numbers number(salt, comm_.size());
  const auto sum = [&](std::int64_t i) {
    float total = 0;
    for (int rank = 0; rank < comm_.size(); ++rank) total += number(rank, i);
    return total;
  };
  switch (shape_.op) {
    case CommOp::reduce_scatter: return tensor_of(first(), block(), sum);
    case CommOp::all_gather:
    case CommOp::all_gather_read:
      return tensor_of(0, shape_.elements,
                       [&](std::int64_t i) { return number(static_cast<int>(i / block()), i % block()); });
    case CommOp::fused_add_norm: {
      const auto stream =
          tensor_of(0, shape_.elements, [&](std::int64_t i) { return number(comm_.size(), i) + sum(i); });
      return added_and_normed(stream.view({-1, shape_.width}), weight_.to(at::kCPU, at::kFloat)).view(-1);
    }
    case CommOp::all_reduce: break;
  }
  return tensor_of(0, shape_.elements, sum);
}

std::int64_t CommCase::wrong(std::uint64_t salt, World& world, DeviceProbe& probe) {
  const auto meet = [&] {
    probe.synchronize();
    world.barrier();
  };
  meet();  // nobody reads any more what is filled now
  fill(salt);
  call();
  probe.synchronize();
  const auto result = output_.to(at::kCPU, at::kFloat).view(-1);
  const auto must_be = expected(salt);
  const bool exact = shape_.op != CommOp::fused_add_norm;
  const double tolerance = exact ? 0 : shape_.dtype == at::kBFloat16 ? 1.0 / 64 : 1e-5;
  const auto right = at::isclose(result, must_be, tolerance, tolerance / 100);
  meet();  // nobody writes before all have compared
  const bool read = !sum_.defined() || at::isclose(sum_.cpu(), must_be.sum(), 1e-3).item<bool>();
  return result.numel() - right.sum().item<std::int64_t>() + (read ? 0 : 1);
}

ArenaSizes arena_for(const CommShape& shape, const ProcessGroup& comm) {
  constexpr std::size_t page = 4096;
  const auto with_slack = [](std::size_t bytes) { return bytes == 0 ? 0 : (bytes + page - 1) / page * page + page; };
  DryProcessGroup dry(comm.rank(), comm.size(), comm.shares_memory());
  auto imagined = shape;
  imagined.device = c10::kMeta;
  const CommCase buffers(imagined, dry);
  return {.partial_bytes = with_slack(dry.arena().partial_bytes),
          .gathered_bytes = with_slack(dry.arena().gathered_bytes)};
}

}  // namespace tpsp
