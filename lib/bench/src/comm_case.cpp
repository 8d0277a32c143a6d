#include "comm_case.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>

#include "tpsp/comm/counting.h"
#include "tpsp/kernels/kernels.h"

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

// As kernels::add_norm, of whole tensors; `stream` and the result are fp32.
at::Tensor added_and_normed(const at::Tensor& stream, const at::Tensor& weight) {
  const auto mean_square = at::mean(at::square(stream), at::IntArrayRef{-1}, /*keepdim=*/true);
  return stream * at::rsqrt(mean_square + norm_eps) * weight;
}

template <typename T>
void add_norm_rows(const std::vector<at::Tensor>& terms, const at::Tensor& stream, const at::Tensor& weight,
                   const at::Tensor& normed) {
  const auto width = stream.size(-1);
  at::parallel_for(0, stream.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const T*> from;
    for (const auto& term : terms) from.push_back(static_cast<const T*>(term.const_data_ptr()) + begin * width);
    kernels::add_norm(kernels::AddNorm<T>{.terms = from,
                                          .stream = static_cast<T*>(stream.mutable_data_ptr()) + begin * width,
                                          .weight = static_cast<const T*>(weight.const_data_ptr()),
                                          .normed = static_cast<T*>(normed.mutable_data_ptr()) + begin * width,
                                          .rows = static_cast<std::size_t>(end - begin),
                                          .width = static_cast<std::size_t>(width),
                                          .eps = norm_eps});
  });
}

// stream += the sum of the terms; normed = RMSNorm of it.
void add_norm(const std::vector<at::Tensor>& terms, const at::Tensor& stream, const at::Tensor& weight,
              const at::Tensor& normed) {
  if (!stream.is_cpu()) {
    for (const auto& term : terms) stream.add_(term);
    normed.copy_(added_and_normed(stream.to(at::kFloat), weight.to(at::kFloat)));
  } else if (stream.scalar_type() == at::kBFloat16) {
    add_norm_rows<kernels::Bf16>(terms, stream, weight, normed);
  } else {
    add_norm_rows<float>(terms, stream, weight, normed);
  }
}

}  // namespace

CommShape shape_of(CommOp op, BufferPlace place, std::int64_t bytes, int ranks, c10::ScalarType dtype,
                   c10::Device device) {
  constexpr std::uint64_t widest = 4096;
  CommShape shape{.op = op, .place = place, .dtype = dtype, .device = device};
  auto block = bytes / static_cast<std::int64_t>(c10::elementSize(dtype)) / ranks;
  if (op == CommOp::seam && block > 0) {
    shape.width = static_cast<std::int64_t>(std::bit_floor(std::min(widest, static_cast<std::uint64_t>(block))));
    block = block / shape.width * shape.width;
  }
  shape.elements = block * ranks;
  return shape;
}

CommCase::CommCase(const CommShape& shape, Communicator& comm) : shape_(shape), comm_(comm) {
  shape.place == BufferPlace::out ? make_plain() : make_in_place();
}

void CommCase::make_plain() {
  const auto options = at::dtype(shape_.dtype).device(shape_.device);
  input_ = at::empty({shape_.op == CommOp::all_gather ? block() : shape_.elements}, options);
  output_ = at::empty({shape_.op == CommOp::reduce_scatter ? block() : shape_.elements}, options);
}

void CommCase::make_in_place() {
  const auto options = at::dtype(shape_.dtype).device(shape_.device);
  switch (shape_.op) {
    case CommOp::all_reduce:
      input_ = comm_.new_partial({shape_.elements}, options);
      output_ = comm_.shares_memory() ? comm_.new_whole({shape_.elements}, options) : input_;
      break;
    case CommOp::reduce_scatter:
      input_ = comm_.new_partial({shape_.elements}, options);
      output_ = at::empty({block()}, options);
      break;
    case CommOp::all_gather:
      output_ = comm_.new_whole({shape_.elements}, options);
      input_ = output_.narrow(0, first(), block());
      break;
    case CommOp::seam: {
      const auto rows = block() / shape_.width;
      input_ = comm_.new_partial({rows * comm_.size(), shape_.width}, options);
      stream_ = at::empty({rows, shape_.width}, options);
      weight_ = at::empty({shape_.width}, options);
      output_ = comm_.new_whole({rows * comm_.size(), shape_.width}, options);
      shard_ = output_.narrow(0, rows * comm_.rank(), rows);
      break;
    }
  }
}

void CommCase::call() {
  switch (shape_.op) {
    case CommOp::all_reduce: return comm_.all_reduce(input_, output_);
    case CommOp::reduce_scatter: return comm_.reduce_scatter(input_, output_);
    case CommOp::all_gather: return comm_.all_gather(input_, output_);
    case CommOp::seam: return run_seam();
  }
}

void CommCase::run_seam() {
  add_norm(comm_.addends(Collective::reduce_scatter, input_), stream_, weight_, shard_);
  comm_.all_gather(shard_, output_);
}

// Ranks have numbers of their own; the residual stream, which is one for all, has those of the rank after the last, and
// the weights are 1 to 2.
void CommCase::fill(std::uint64_t salt) {
  const Numbers number(salt, comm_.size());
  const auto put = [](const at::Tensor& to, const at::Tensor& from) { to.copy_(from.view_as(to)); };
  put(input_, tensor_of(0, input_.numel(), [&](std::int64_t i) { return number(comm_.rank(), i); }));
  if (shape_.op != CommOp::seam) return;
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
      return tensor_of(0, shape_.elements,
                       [&](std::int64_t i) { return number(static_cast<int>(i / block()), i % block()); });
    case CommOp::seam: {
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
  const bool exact = shape_.op != CommOp::seam;
  const double tolerance = exact ? 0 : shape_.dtype == at::kBFloat16 ? 1.0 / 64 : 1e-5;
  const auto right = at::isclose(result, must_be, tolerance, tolerance / 100);
  meet();  // nobody writes before all have compared
  return result.numel() - right.sum().item<std::int64_t>();
}

Room room_of(const CommShape& shape, const Communicator& comm) {
  constexpr std::size_t page = 4096;
  const auto with_slack = [](std::size_t bytes) { return bytes == 0 ? 0 : (bytes + page - 1) / page * page + page; };
  DryCommunicator dry(comm.rank(), comm.size(), comm.shares_memory());
  auto imagined = shape;
  imagined.device = c10::kMeta;
  const CommCase buffers(imagined, dry);
  return {.partial_bytes = with_slack(dry.room().partial_bytes), .whole_bytes = with_slack(dry.room().whole_bytes)};
}

}  // namespace tpsp
