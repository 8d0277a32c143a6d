#!/usr/bin/env python3
"""Are the oracles any good? On a small random model made by transformers both must agree with its logits, loss and
gradients, and must stop agreeing when one value in a file is changed, is not a number or is not there. Needs no
network."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402  (after the environment is set)
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

HERE = Path(__file__).resolve().parent


def make_reference(folder, is_step):
    """A model with grouped heads, an odd vocabulary, and norm weights that are not all one. A step's loss is the one that
    transformers makes of a whole text, whose last token has no target: that text is one longer than the tokens."""
    torch.manual_seed(1)
    config = LlamaConfig(hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=257, rms_norm_eps=1e-5, rope_theta=10000.0,
                         tie_word_embeddings=False, initializer_range=0.1, torch_dtype="float32")
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    text = torch.randint(0, config.vocab_size, (2, 8))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    result = model(text, labels=text)
    io = {"tokens": text[:, :-1].contiguous(), "logits": result.logits[:, :-1].detach().contiguous()}
    if is_step:
        result.loss.backward()
        io |= {"targets": text[:, 1:].contiguous(), "loss": result.loss.detach().reshape(1)}
        save_file({name: weight.grad for name, weight in model.named_parameters()}, folder / "gradients.safetensors")
    model.save_pretrained(folder)
    save_file(io, folder / "io.safetensors")


def changed(file, change):
    """What changes the tensors of a folder's file."""
    def apply(folder):
        tensors = load_file(folder / file)
        change(tensors)
        save_file(tensors, folder / file, metadata={"format": "pt"})
    return apply


def nudge_weight(weights):
    weights["model.layers.1.self_attn.k_proj.weight"][3, 5] += 0.5


def spoil_logit(io):
    io["logits"][1, 6, 256] = float("nan")


def nudge_loss(io):
    io["loss"] *= 1 + 1e-4


def shift_targets(io):
    io["targets"] = io["targets"].roll(1, 1)


def nudge_gradient(gradients):
    gradient = gradients["model.layers.1.self_attn.k_proj.weight"]
    gradient[3, 5] += 1e-4 * gradient.abs().max()


def spoil_gradient(gradients):
    gradients["model.layers.0.mlp.up_proj.weight"][7, 1] = float("nan")


def drop_gradient(gradients):
    del gradients["model.norm.weight"]


def pad_gradient(gradients):
    name = "lm_head.weight"
    gradients[name] = torch.nn.functional.pad(gradients[name], (0, 0, 0, 1))


FORWARD_CHANGES = {
    "as it is": None,
    "a weight changed": changed("model.safetensors", nudge_weight),
    "a logit not a number": changed("io.safetensors", spoil_logit),
}
STEP_CHANGES = {
    "as it is": None,
    "the loss changed": changed("io.safetensors", nudge_loss),
    "targets shifted": changed("io.safetensors", shift_targets),
    "a gradient changed": changed("gradients.safetensors", nudge_gradient),
    "a gradient not a number": changed("gradients.safetensors", spoil_gradient),
    "a gradient missing": changed("gradients.safetensors", drop_gradient),
    "a gradient with padding": changed("gradients.safetensors", pad_gradient),
}


def agrees(oracle, folder):
    run = subprocess.run([sys.executable, HERE / oracle, folder], capture_output=True, text=True)
    if run.returncode not in (0, 1) or not run.stdout.startswith("max_rel_err = "):
        sys.exit(f"{oracle} did not come to a verdict:\n{run.stdout}{run.stderr}")
    return run.returncode == 0, ", ".join(run.stdout.splitlines())


def check(is_step, what, change):
    """The number of oracles that are wrong about a change."""
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_reference(folder, is_step)
        if change:
            change(folder)
        for oracle in ("llama_oracle.py", "transformers_oracle.py"):
            agreed, said = agrees(oracle, folder)
            right = agreed == (change is None)
            failures += not right
            kind = "step" if is_step else "forward"
            print(f"{'ok' if right else 'FAILED'}: {oracle}, {kind}, {what}: {said}", flush=True)
    return failures


def main():
    failures = sum(check(False, what, change) for what, change in FORWARD_CHANGES.items())
    failures += sum(check(True, what, change) for what, change in STEP_CHANGES.items())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
