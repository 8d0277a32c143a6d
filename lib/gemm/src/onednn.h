// What every use of oneDNN shares. Only files that CMakeLists.txt gives oneDNN's include folder can include it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <new>
#include <string_view>
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include <oneapi/dnnl/dnnl.hpp>
#pragma GCC diagnostic pop

namespace tpsp::onednn {

using Matmul = dnnl::matmul;
using Layout = dnnl::memory::desc;
using Type = dnnl::memory::data_type;

inline const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

inline Type type_of(at::ScalarType dtype) { return dtype == at::kFloat ? Type::f32 : Type::bf16; }

inline Layout dense_rows(std::int64_t rows, std::int64_t columns, Type type) {
  return {{rows, columns}, type, dnnl::memory::dims{columns, 1}};
}

/// Runs `work`; a lack of memory in oneDNN is what it is everywhere.
template <typename Work>
void with_bad_alloc(const Work& work) {
  try {
    work();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw;
  }
}

/// A library of another version than the header is not trusted.
inline bool is_version_of_header() {
  const auto& version = *dnnl::version();
  return version.major == DNNL_VERSION_MAJOR && version.minor == DNNL_VERSION_MINOR;
}

/// Whether it is more than oneDNN's plain loops.
inline bool is_a_kernel(const Matmul::primitive_desc& description) {
  return std::string_view(description.impl_info_str()).find("ref") == std::string_view::npos;
}

}  // namespace tpsp::onednn
