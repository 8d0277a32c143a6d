#!/usr/bin/env python3
"""Are the oracles any good? On a small random model made by transformers both must agree with its logits, and must
stop agreeing when one weight is changed or one logit is not a number. Needs no network."""
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


def make_reference(folder):
    """A model with grouped heads, an odd vocabulary, and norm weights that are not all one."""
    torch.manual_seed(1)
    config = LlamaConfig(hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=257, rms_norm_eps=1e-5, rope_theta=10000.0,
                         tie_word_embeddings=False, initializer_range=0.1, torch_dtype="float32")
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    tokens = torch.randint(0, config.vocab_size, (2, 7))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
        logits = model(tokens).logits
    model.save_pretrained(folder)
    save_file({"tokens": tokens, "logits": logits.contiguous()}, folder / "io.safetensors")


def nudge_weight(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.self_attn.k_proj.weight"][3, 5] += 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def spoil_logit(folder):
    io = load_file(folder / "io.safetensors")
    io["logits"][1, 6, 256] = float("nan")
    save_file(io, folder / "io.safetensors")


def agrees(oracle, folder):
    run = subprocess.run([sys.executable, HERE / oracle, folder], capture_output=True, text=True)
    if run.returncode not in (0, 1) or not run.stdout.startswith("max_rel_err = "):
        sys.exit(f"{oracle} did not come to a verdict:\n{run.stdout}{run.stderr}")
    return run.returncode == 0, run.stdout.strip()


def main():
    failures = 0
    changes = {"as it is": None, "a weight changed": nudge_weight, "a logit not a number": spoil_logit}
    for what, change in changes.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_reference(folder)
            if change:
                change(folder)
            for oracle in ("llama_oracle.py", "transformers_oracle.py"):
                agreed, said = agrees(oracle, folder)
                right = agreed == (change is None)
                failures += not right
                print(f"{'ok' if right else 'FAILED'}: {oracle}, {what}: {said}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
