#!/usr/bin/env python3
"""The same comparison as llama_oracle.py, with transformers' LlamaForCausalLM as the one that computes the logits.

Reads nothing but DIR, and needs no network.
"""
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402  (after the environment is set)
from transformers import LlamaForCausalLM  # noqa: E402

import comparison  # noqa: E402


@torch.no_grad()
def forward(folder, tokens):
    model, report = LlamaForCausalLM.from_pretrained(
        folder, local_files_only=True, attn_implementation="eager", torch_dtype=torch.float32, output_loading_info=True)
    strangers = {kind: names for kind, names in report.items() if names}
    if strangers:  # transformers itself only warns, and leaves such weights random
        sys.exit(f"{folder}/model.safetensors does not fit config.json: {strangers}")
    return model.eval()(tokens, use_cache=False).logits


if __name__ == "__main__":
    sys.exit(comparison.main(forward, __doc__))
