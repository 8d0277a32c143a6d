#include "tpsp/models/export.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "tpsp/core/files.h"
#include "tpsp/models/llama.h"

using namespace tpsp;

namespace {

/// A safetensors file taken apart.
struct SafeTensorsFile {
  explicit SafeTensorsFile(const std::filesystem::path& path) : bytes(read_file(path, std::size_t{1} << 24)) {
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    begin = sizeof length + length;
    header = nlohmann::json::parse(bytes.substr(sizeof length, length));
  }

  at::Tensor tensor(const std::string& name, at::ScalarType dtype) {
    const auto& entry = header.at(name);
    auto* const data = bytes.data() + begin + entry.at("data_offsets").at(0).get<std::size_t>();
    return at::from_blob(data, entry.at("shape").get<std::vector<std::int64_t>>(), dtype).clone();
  }

  std::string bytes;
  std::size_t begin = 0;
  nlohmann::json header;
};

const WeightRecipe recipe{.seed = 3};

}  // namespace

TEST_CASE("an exported model has every weight under its Hugging Face name and shape") {
  const TemporaryFolder folder;
  const auto config = load_model("llama-tiny");
  export_model(folder / "model", Llama(config), recipe);
  const SafeTensorsFile file(folder / "model" / "model.safetensors");
  const auto shape = [&](const std::string& name) { return file.header.at(name).at("shape").get<std::vector<int>>(); };
  CHECK(file.header.size() == 2 * 9 + 3 + 1);  // the last is __metadata__
  CHECK(shape("model.embed_tokens.weight") == std::vector{515, 96});
  CHECK(shape("model.layers.0.input_layernorm.weight") == std::vector{96});
  CHECK(shape("model.layers.0.self_attn.q_proj.weight") == std::vector{96, 96});
  CHECK(shape("model.layers.1.self_attn.k_proj.weight") == std::vector{48, 96});
  CHECK(shape("model.layers.1.self_attn.v_proj.weight") == std::vector{48, 96});
  CHECK(shape("model.layers.1.self_attn.o_proj.weight") == std::vector{96, 96});
  CHECK(shape("model.layers.1.post_attention_layernorm.weight") == std::vector{96});
  CHECK(shape("model.layers.1.mlp.gate_proj.weight") == std::vector{256, 96});
  CHECK(shape("model.layers.1.mlp.up_proj.weight") == std::vector{256, 96});
  CHECK(shape("model.layers.1.mlp.down_proj.weight") == std::vector{96, 256});
  CHECK(shape("model.norm.weight") == std::vector{96});
  CHECK(shape("lm_head.weight") == std::vector{515, 96});
}

TEST_CASE("an exported weight has the bytes of the weight") {
  const TemporaryFolder folder;
  const auto config = load_model("llama-tiny");
  export_model(folder / "model", Llama(config), recipe);
  SafeTensorsFile file(folder / "model" / "model.safetensors");
  const auto modules = modules_of(config);
  for (const auto* name : {"tok_embeddings", "layers.1.attention.wk", "layers.0.feed_forward.w2", "output"}) {
    INFO(name);
    const auto module =
        std::find_if(modules.begin(), modules.end(), [&](const Module& candidate) { return candidate.name == name; });
    CHECK(at::equal(file.tensor(Llama(config).hugging_face_name(name), at::kFloat), make_weight(*module, {}, recipe)));
  }
}

TEST_CASE("an exported file is as long as its header says") {
  const TemporaryFolder folder;
  const auto config = load_model("llama-tiny");
  export_model(folder / "model", Llama(config), {.dtype = at::kBFloat16});
  const SafeTensorsFile file(folder / "model" / "model.safetensors");
  CHECK(static_cast<std::int64_t>(file.bytes.size() - file.begin) == 2 * Llama(config).parameters());
  CHECK(file.begin % 8 == 0);
  CHECK(file.header.at("lm_head.weight").at("dtype") == "BF16");
}

TEST_CASE("an exported config.json has the sizes of the model") {
  const TemporaryFolder folder;
  export_model(folder / "model", Llama(load_model("llama-tiny")), recipe);
  const auto json = nlohmann::json::parse(read_file(folder / "model" / "config.json", 1 << 16));
  CHECK(json.at("hidden_size") == 96);
  CHECK(json.at("num_key_value_heads") == 4);
  CHECK(json.at("intermediate_size") == 256);
  CHECK(json.at("vocab_size") == 515);
  CHECK(json.at("tie_word_embeddings") == false);
}

TEST_CASE("exported tokens and logits are read back as they were") {
  const TemporaryFolder folder;
  const auto tokens = make_tokens(1, 2, 5, 515);
  const auto logits = at::rand({5, 2, 515}).transpose(0, 1);  // a view, as a forward pass gives it
  export_io(folder / "io", tokens, logits);
  SafeTensorsFile file(folder / "io" / "io.safetensors");
  CHECK(at::equal(file.tensor("tokens", at::kLong), tokens));
  CHECK(at::equal(file.tensor("logits", at::kFloat), logits));
}

TEST_CASE("a folder that can not be made is an output error with its path") {
  const TemporaryFolder folder;
  write_file(folder / "file", "text");
  const auto error =
      thrown_by([&] { export_model(folder / "file" / "model", Llama(load_model("llama-tiny")), recipe); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(std::string(error.what()), Catch::Contains((folder / "file").string()));
}
