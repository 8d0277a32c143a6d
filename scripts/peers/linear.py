#!/usr/bin/env python3
"""The GEMMs of LLaMA's forward alone, as PyTorch's F.linear: what a tensor-parallel forward costs at least in PyTorch.

Each rank multiplies with its shard of every weight, one after the other, without a collective and with nothing in
between; the shards are those of both plans. All ranks run at once. Options and output are those of dtensor_llama.py, with
the peer "linear" and the plan "tp".

    MASTER_PORT=29500 mpirun -n 2 python scripts/peers/linear.py --seq 256,512
"""
import statistics
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
import dtensor_llama as peer  # noqa: E402  (from this folder)


def shapes(o, world):
    """[out, in] of every weight that a rank multiplies with in a forward."""
    columns, ffn_columns = (o.hidden // world, o.hidden), (o.ffn // world, o.hidden)
    kv_columns = (o.hidden // o.heads * o.kv_heads // world, o.hidden)
    layer = [columns] + [kv_columns] * 2 + [columns[::-1]] + [ffn_columns] * 2 + [ffn_columns[::-1]]
    return layer * o.layers + [(o.vocab // world, o.hidden)]


def run(o, device):
    dtype = peer.DTYPES[o.dtype]
    weights = [torch.randn(shape, device=device).to(dtype) for shape in shapes(o, dist.get_world_size())]
    peer.say("peer,plan,seq,dtype,world,reps,median_s,low_s,high_s,max_abs_diff")
    for seq in o.seq:
        inputs = {width: torch.randn(o.batch, seq, width, device=device).to(dtype)
                  for width in {weight.shape[1] for weight in weights}}

        def forward(inputs=inputs):
            for weight in weights:
                F.linear(inputs[weight.shape[1]], weight)

        samples = peer.measure({"tp": forward}, o, device)["tp"]
        low, high = peer.median_interval(samples)
        peer.say_row("linear", "tp", seq, o.dtype, dist.get_world_size(), len(samples), statistics.median(samples), low,
                     high, "")


def main():
    o = peer.options()
    torch.set_num_threads(o.threads)
    device = peer.set_up_ranks()
    peer.require_fit(o, dist.get_world_size(), o.seq)
    with torch.no_grad():
        run(o, device)
    peer.end_ranks()
    peer.leave(0)


if __name__ == "__main__":
    main()
