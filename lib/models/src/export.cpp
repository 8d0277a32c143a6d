#include "tpsp/models/export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <exception>
#include <system_error>

#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/weights/safetensors.h"

namespace tpsp {
namespace {

at::Tensor to_host(const at::Tensor& tensor, at::ScalarType dtype) { return tensor.to(at::kCPU, dtype).contiguous(); }

SafeTensor entry(const std::string& name, at::ScalarType dtype, const at::Tensor& tensor) {
  return {name, dtype, tensor.sizes().vec(), [=] { return to_host(tensor, dtype); }};
}

}  // namespace

void make_export_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) return;
  throw Error(ExitCode::output_failed, {.where = "--export " + folder.string(),
                                        .what = "the folder can not be made",
                                        .why = error.message(),
                                        .remedy = "choose another folder"});
}

void export_model(const std::filesystem::path& folder, const Architecture& model, const WeightRecipe& recipe) {
  make_export_folder(folder);
  write_file(folder / "config.json", model.hugging_face_config(recipe.dtype));
  const WeightRecipe on_host{.seed = recipe.seed, .dtype = recipe.dtype, .device = at::kCPU};
  std::vector<SafeTensor> tensors;
  for (const auto& module : model.modules()) {
    if (module.kind == ModuleKind::container) continue;
    tensors.push_back({model.hugging_face_name(module.name), recipe.dtype, local_shape(module, {}),
                       [module, on_host] { return make_weight(module, {}, on_host); }});
  }
  write_safetensors(folder / "model.safetensors", tensors);
}

void export_io(const std::filesystem::path& folder, const at::Tensor& tokens, const at::Tensor& logits) {
  make_export_folder(folder);
  write_safetensors(folder / "io.safetensors",
                    {entry("tokens", at::kLong, tokens), entry("logits", at::kFloat, logits)});
}

void export_step_io(const std::filesystem::path& folder, const Input& input, const at::Tensor& logits, double loss) {
  make_export_folder(folder);
  write_safetensors(folder / "io.safetensors",
                    {entry("tokens", at::kLong, input.tokens), entry("targets", at::kLong, input.targets),
                     entry("logits", at::kFloat, logits), entry("loss", at::kFloat, at::full({1}, loss, at::kFloat))});
}

void export_gradients(const std::filesystem::path& folder, const Architecture& model, const WholeGradient& gradient,
                      World& world) {
  std::vector<std::string> names;
  std::vector<SafeTensor> tensors;
  std::size_t asked = 0;  // of the names, those that this rank's `gradient` was called for
  for (const auto& module : model.modules()) {
    if (module.kind == ModuleKind::container) continue;
    names.push_back(module.name);
    tensors.push_back(
        {model.hugging_face_name(module.name), at::kFloat, local_shape(module, {}), [&, name = module.name] {
           ++asked;
           return to_host(gradient(name), at::kFloat);
         }});
  }
  std::exception_ptr failure;
  if (world.rank() == 0) {
    try {
      make_export_folder(folder);
      write_safetensors(folder / "gradients.safetensors", tensors);
    } catch (const Error&) {
      failure = std::current_exception();
    }
  }
  // The other ranks, and rank 0 where its file failed while they go on.
  while (asked < names.size()) gradient(names[asked++]);
  agree(world, [&] {
    if (failure) std::rethrow_exception(failure);
  });
}

}  // namespace tpsp
