#!/usr/bin/env python3
"""The same comparison as llama_oracle.py, with transformers' LlamaForCausalLM as the one that computes logits,
loss and gradients.

Reads nothing but DIR, and needs no network.
"""
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402  (after the environment is set)
from transformers import LlamaForCausalLM  # noqa: E402

import comparison  # noqa: E402


def evaluate(folder, tokens, targets):
    model, report = LlamaForCausalLM.from_pretrained(
        folder, local_files_only=True, attn_implementation="eager", torch_dtype=torch.float32, output_loading_info=True)
    strangers = {kind: names for kind, names in report.items() if names}
    if strangers:  # transformers itself only warns, and leaves such weights random
        sys.exit(f"{folder}/model.safetensors does not fit config.json: {strangers}")
    model.eval().requires_grad_(targets is not None)
    if targets is None:
        return model(tokens, use_cache=False).logits, None, None
    # Labels would be shifted by one; the targets are already.
    result = model(tokens, use_cache=False, labels=targets, shift_labels=targets)
    result.loss.backward()
    return result.logits.detach(), result.loss.detach(), {name: w.grad for name, w in model.named_parameters()}


if __name__ == "__main__":
    sys.exit(comparison.main(evaluate, __doc__))
