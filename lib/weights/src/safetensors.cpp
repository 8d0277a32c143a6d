#include "tpsp/weights/safetensors.h"

#include <ATen/ATen.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

std::string dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat: return "F32";
    case at::kBFloat16: return "BF16";
    case at::kLong: return "I64";
    default: throw std::invalid_argument("safetensors: a dtype that is never written");
  }
}

std::int64_t bytes_of(const SafeTensor& tensor) {
  auto bytes = static_cast<std::int64_t>(c10::elementSize(tensor.dtype));
  for (const auto size : tensor.shape) bytes *= size;
  return bytes;
}

std::string header_of(const std::vector<SafeTensor>& tensors) {
  nlohmann::json header;
  header["__metadata__"] = {{"format", "pt"}};
  std::int64_t offset = 0;
  for (const auto& tensor : tensors) {
    const auto end = offset + bytes_of(tensor);
    header[tensor.name] = {
        {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  auto text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::vector<SafeTensor>& tensors) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  const auto header = header_of(tensors);
  const std::uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const auto& tensor : tensors) {
    if (!file) break;
    const auto values = tensor.values();
    file.write(static_cast<const char*>(values.const_data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  }
  file.close();
  if (!file) {
    throw Error(ExitCode::output_failed, {.where = path.string(),
                                          .what = "can not be written",
                                          .why = std::strerror(errno),
                                          .remedy = "choose another folder for --export"});
  }
}

}  // namespace tpsp
