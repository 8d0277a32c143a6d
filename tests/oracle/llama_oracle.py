#!/usr/bin/env python3
"""LLaMA in plain PyTorch, as the papers define it: the second opinion on our logits, loss and gradients.

DIR holds config.json and model.safetensors, both in the Hugging Face form, and io.safetensors with
tokens [batch, seq] int64 and logits [batch, seq, vocab] fp32. Computes the logits again, in fp32, prints
max_rel_err = max|logits - expected| / max|expected|, and exits with 0 when that is within the tolerance, else with 1.
A training step's io.safetensors has targets [batch, seq] int64 and loss [1] fp32 too, the mean cross-entropy of the
logits with them; gradients.safetensors has its gradients by the weights' names. Loss and every gradient are held to the
same tolerance, each tensor's error over its own largest value; of the gradients the worst is printed.
"""
import json
import math
import sys

import torch
from safetensors.torch import load_file

import comparison


def linear(x, weight):
    return x @ weight.T


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rotate(x, theta):
    """Rotary positions in the half-rotation form: element i of a head is paired with element i + head_dim/2."""
    seq, half = x.shape[-2], x.shape[-1] // 2
    frequency = theta ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = torch.arange(seq, dtype=torch.float32)[:, None] * frequency
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def attention(x, w, config):
    batch, seq, _ = x.shape
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    theta = config.get("rope_theta", 10000.0)

    def split(name, count):  # -> [batch, count, seq, dim]
        return linear(x, w[f"self_attn.{name}_proj.weight"]).view(batch, seq, count, dim).transpose(1, 2)

    q, k, v = rotate(split("q", heads), theta), rotate(split("k", kv_heads), theta), split("v", kv_heads)
    query_head = torch.arange(heads) // (heads // kv_heads)  # the key and value head that each query head reads
    k, v = k[:, query_head], v[:, query_head]
    scores = q @ k.transpose(-1, -2) / math.sqrt(dim)
    future = torch.ones(seq, seq, dtype=torch.bool).triu(1)
    weights = torch.softmax(scores.masked_fill(future, -math.inf), -1)
    out = (weights @ v).transpose(1, 2).reshape(batch, seq, heads * dim)
    return linear(out, w["self_attn.o_proj.weight"])


def feed_forward(x, w):
    gate = linear(x, w["mlp.gate_proj.weight"])
    return linear(gate * torch.sigmoid(gate) * linear(x, w["mlp.up_proj.weight"]), w["mlp.down_proj.weight"])


def forward(config, weights, tokens):
    eps = config["rms_norm_eps"]
    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        w = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        x = x + attention(rms_norm(x, w["input_layernorm.weight"], eps), w, config)
        x = x + feed_forward(rms_norm(x, w["post_attention_layernorm.weight"], eps), w)
    return linear(rms_norm(x, weights["model.norm.weight"], eps), weights["lm_head.weight"])


def cross_entropy(logits, targets):
    return (logits.logsumexp(-1) - logits.gather(-1, targets[..., None])[..., 0]).mean()


def evaluate(folder, tokens, targets):
    config = json.loads((folder / "config.json").read_text())
    is_step = targets is not None
    weights = {name: w.float().requires_grad_(is_step) for name, w in load_file(folder / "model.safetensors").items()}
    logits = forward(config, weights, tokens)
    if not is_step:
        return logits, None, None
    loss = cross_entropy(logits, targets)
    loss.backward()
    return logits.detach(), loss.detach(), {name: weight.grad for name, weight in weights.items()}


if __name__ == "__main__":
    sys.exit(comparison.main(evaluate, __doc__))
