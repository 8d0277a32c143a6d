#include "tpsp/models/export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <system_error>

#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/weights/safetensors.h"

namespace tpsp {
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
  write_safetensors(
      folder / "io.safetensors",
      {{"tokens", at::kLong, tokens.sizes().vec(), [&] { return tokens.cpu().contiguous(); }},
       {"logits", at::kFloat, logits.sizes().vec(), [&] { return logits.to(at::kCPU, at::kFloat).contiguous(); }}});
}

}  // namespace tpsp
