#include "tpsp/models/export.h"

#include "support/torch_and_catch.h"
// The line above comes first.
#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "support/training_on_ranks.h"
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

std::set<std::string> names_in(const SafeTensorsFile& file) {
  std::set<std::string> names;
  for (const auto& [name, entry] : file.header.items()) names.insert(name);
  return names;
}

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

TEST_CASE("targets and loss of an exported training step are read back as they were") {
  const TemporaryFolder folder;
  const auto input = training_input(2, 5, 515);
  const auto logits = at::rand({2, 5, 515});
  export_step_io(folder / "io", input, logits, 6.25);
  SafeTensorsFile file(folder / "io" / "io.safetensors");
  CHECK(at::equal(file.tensor("tokens", at::kLong), input.tokens));
  CHECK(at::equal(file.tensor("targets", at::kLong), input.targets));
  CHECK(at::equal(file.tensor("logits", at::kFloat), logits));
  CHECK(at::equal(file.tensor("loss", at::kFloat), at::full({1}, 6.25, at::kFloat)));
}

namespace {

/// How much memory the ranks share while gradients are gathered.
enum class Sharing { reserved, unreserved, apart };

void export_step(const std::filesystem::path& folder, const Llama& llama, const LoweredPlan& plan, const Input& input,
                 Sharing sharing = Sharing::reserved) {
  on_ranks(plan.world, [&](World& ranks, ProcessGroup& transport) {
    if (sharing == Sharing::reserved) transport.reserve({.partial_bytes = 1 << 22, .gathered_bytes = 1 << 22});
    Apart apart(transport);
    const Context context{.tp = sharing == Sharing::apart ? static_cast<ProcessGroup&>(apart) : transport};
    const ResidentWeights weights(plan, ranks.rank(), recipe);
    Gradients gradients(plan, at::kFloat, at::kCPU);
    const auto model = llama.bind(plan, weights);
    Saved saved;
    gradients.start_step();
    model->loss(input, 1 / static_cast<double>(input.tokens.numel()), context.saving_in(saved));
    model->backward(input, context.saving_in(saved), gradients);
    gradients.finish_step(context);
    const auto gathered = [&](const std::string& name) { return gathered_gradient(gradients, plan, name, context); };
    export_gradients(folder, llama, gathered, ranks);
  });
}

void check_exported_gradients(const LlamaConfig& config, const Plan& plan, int world,
                              Sharing sharing = Sharing::reserved) {
  const TemporaryFolder folder;
  const Llama llama(config);
  const auto input = training_input(2, 7, config.vocabulary);
  export_model(folder / "step", llama, recipe);
  export_step(folder / "step", llama, lower(plan, modules_of(config), world), input, sharing);
  SafeTensorsFile file(folder / "step" / "gradients.safetensors");
  CHECK(names_in(file) == names_in(SafeTensorsFile(folder / "step" / "model.safetensors")));
  for (const auto& [module, gradient] :
       llama.reference_step(recipe, input, 1 / static_cast<double>(input.tokens.numel())).gradients) {
    INFO(plan.name << " world " << world << " vocabulary " << config.vocabulary << ": " << module);
    CHECK(relative_error(file.tensor(llama.hugging_face_name(module), at::kFloat), gradient) < 1e-4);
  }
}

Plan with_replicated_keys(Plan plan) {
  const auto more = inline_plan("  - {match: 'layers\\.\\d+\\.attention\\.(wk|wv)', style: replicate}\n");
  plan.rules.insert(plan.rules.end(), more.rules.begin(), more.rules.end());
  return plan;
}

}  // namespace

TEST_CASE("exported gradients are the reference's, gathered and without padding") {
  auto config = load_model("llama-tiny");
  config.vocabulary = GENERATE(515, 516);
  const auto plan = load_plan(GENERATE("tp", "tp+sp", "tp-sharded-logits"));
  for (const int world : {1, 2, 4}) check_exported_gradients(config, plan, world);
}

TEST_CASE("gradients are gathered whatever memory the ranks share") {
  const auto sharing = GENERATE(Sharing::unreserved, Sharing::apart);
  for (const auto* plan : {"tp", "tp+sp"}) {
    check_exported_gradients(load_model("llama-tiny"), load_plan(plan), 4, sharing);
  }
}

TEST_CASE("exported gradients of replicated keys and values are whole") {
  const auto config =
      parse_model("six", "six.yaml", "{hidden: 48, layers: 1, heads: 6, kv_heads: 2, vocabulary: 20, ffn: 48}");
  for (const auto* plan : {"tp", "tp+sp"}) {
    for (const int world : {2, 3, 6}) check_exported_gradients(config, with_replicated_keys(load_plan(plan)), world);
  }
}

TEST_CASE("exported gradients have no padding where it fills the last ranks") {
  const auto config = parse_model("five", "five.yaml", "{hidden: 48, layers: 1, heads: 4, vocabulary: 5, ffn: 48}");
  for (const auto* plan : {"tp", "tp+sp"}) check_exported_gradients(config, load_plan(plan), 4);
}

TEST_CASE("a gradient that is not summed over the ranks yet is not gathered") {
  const auto config = load_model("llama-tiny");
  const auto plan = lower(load_plan("tp+sp"), modules_of(config), 2);
  Gradients gradients(plan, at::kFloat, at::kCPU);
  DryProcessGroup group(0, 2);
  CHECK_THAT(defect_of([&] { gathered_gradient(gradients, plan, "norm", {.tp = group}); }), Catch::Contains("norm"));
  gradients.at("norm").started = gradients.at("norm").partial = true;
  CHECK_THAT(defect_of([&] { gathered_gradient(gradients, plan, "norm", {.tp = group}); }), Catch::Contains("norm"));
}

TEST_CASE("exported gradients of any dtype are fp32") {
  const TemporaryFolder folder;
  const Llama llama(load_model("llama-tiny"));
  SerialWorld alone;
  std::map<std::string, at::Tensor> gradients;
  for (const auto& module : llama.modules()) {
    if (!module.dims.empty()) gradients[module.name] = at::randn(local_shape(module, {}), at::kBFloat16);
  }
  export_gradients(
      folder / "step", llama, [&](const std::string& module) { return gradients.at(module); }, alone);
  SafeTensorsFile file(folder / "step" / "gradients.safetensors");
  CHECK(file.header.at("lm_head.weight").at("dtype") == "F32");
  CHECK(at::equal(file.tensor("lm_head.weight", at::kFloat), gradients.at("output").to(at::kFloat)));
}

TEST_CASE("every rank is asked for every gradient once, one that can not be written too") {
  const TemporaryFolder folder;
  const Llama llama(load_model("llama-tiny"));
  const bool fails = GENERATE(false, true);
  if (fails) std::filesystem::create_directories(folder / "step" / "gradients.safetensors");
  std::map<std::string, at::Tensor> weights;
  std::vector<std::string> expected;
  for (const auto& module : llama.modules()) {
    if (module.dims.empty()) continue;
    expected.push_back(module.name);
    weights[module.name] = make_weight(module, {}, recipe);
  }
  std::atomic<int> refused = 0;
  on_ranks(3, [&](World& ranks, ProcessGroup&) {
    std::vector<std::string> asked;
    const auto gradient = [&](const std::string& name) {
      asked.push_back(name);
      return weights.at(name);
    };
    try {
      export_gradients(folder / "step", llama, gradient, ranks);
    } catch (const AgreedError& error) {
      if (error.code() == ExitCode::output_failed) ++refused;
    }
    if (asked != expected) throw std::logic_error("not every gradient was asked for once");
  });
  CHECK(refused == (fails ? 3 : 0));
}

TEST_CASE("a folder that can not be made is an output error with its path") {
  const TemporaryFolder folder;
  write_file(folder / "file", "text");
  const auto error =
      thrown_by([&] { export_model(folder / "file" / "model", Llama(load_model("llama-tiny")), recipe); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(std::string(error.what()), Catch::Contains((folder / "file").string()));
}
