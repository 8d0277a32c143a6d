#include "ops_cuda.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>

#include "elements.h"
#include "tpsp/kernels/cuda.h"

namespace tpsp::ops::cuda {
namespace {

kernels::cuda::Stream stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
}

std::size_t size_of(const at::Tensor& tensor, std::int64_t dim) { return static_cast<std::size_t>(tensor.size(dim)); }
std::size_t stride_of(const at::Tensor& tensor, std::int64_t dim) {
  return static_cast<std::size_t>(tensor.stride(dim));
}

template <typename T>
kernels::cuda::Heads<T> heads_of(const at::Tensor& by_token, const at::Tensor& by_head, bool turned) {
  return {.in = data_of<const T>(by_token),
          .seq_stride = stride_of(by_token, 0),
          .batch_stride = stride_of(by_token, 1),
          .head_stride = stride_of(by_token, 2),
          .out = data_of<T>(by_head),
          .heads = size_of(by_token, 2),
          .turned = turned};
}

}  // namespace

void embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out) {
  with_element(table, [&]<typename T>(T) {
    kernels::cuda::embedding(kernels::cuda::Lookup<T>{.table = data_of<const T>(table),
                                                      .rows = size_of(table, 0),
                                                      .first = first_row,
                                                      .ids = ids.const_data_ptr<std::int64_t>(),
                                                      .seq = size_of(ids, 0),
                                                      .batch = size_of(ids, 1),
                                                      .out = data_of<T>(out),
                                                      .seq_stride = stride_of(out, 0),
                                                      .batch_stride = stride_of(out, 1),
                                                      .width = size_of(table, 1)},
                             stream_of(table));
  });
}

void add_norm(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& sum,
              const at::Tensor& weight, double eps, const at::Tensor& normed) {
  with_element(stream, [&]<typename T>(T) {
    const Terms<T> terms(partials, 0);
    kernels::cuda::add_norm(kernels::AddNorm<T>{.terms = terms.get(),
                                                .stream = data_of<const T>(stream),
                                                .sum = data_of<T>(sum),
                                                .weight = data_of<const T>(weight),
                                                .normed = data_of<T>(normed),
                                                .rows = static_cast<std::size_t>(stream.numel() / stream.size(-1)),
                                                .width = size_of(stream, -1),
                                                .eps = static_cast<float>(eps)},
                            stream_of(stream));
  });
}

void rotate(const QueriesKeysValues& by_token, const RotaryTable& table, const QueriesKeysValues& by_head) {
  const auto& queries = by_token.queries;
  with_element(queries, [&]<typename T>(T) {
    kernels::cuda::rotate(kernels::cuda::RotateHeads<T>{.each = {heads_of<T>(queries, by_head.queries, true),
                                                                 heads_of<T>(by_token.keys, by_head.keys, true),
                                                                 heads_of<T>(by_token.values, by_head.values, false)},
                                                        .cos = data_of<const float>(table.cos),
                                                        .sin = data_of<const float>(table.sin),
                                                        .seq = size_of(queries, 0),
                                                        .batch = size_of(queries, 1),
                                                        .half = size_of(queries, 3) / 2},
                          stream_of(queries));
  });
}

void swiglu(const at::Tensor& out, const at::Tensor& gate, const at::Tensor& up) {
  const auto gate_rows = rows_of(gate);
  with_element(gate, [&]<typename T>(T) {
    kernels::cuda::swiglu(kernel_rows<T>(rows_of(out)), kernel_rows<const T>(gate_rows),
                          kernel_rows<const T>(rows_of(up)), size_of(gate_rows, 0), size_of(gate_rows, 1),
                          stream_of(gate));
  });
}

}  // namespace tpsp::ops::cuda
