#!/usr/bin/env python3
"""LLaMA's forward under PyTorch's DTensor: the peer that tpsp-bench is compared with by scripts/peers.sh.

The plans tp and tp+sp are those of PyTorch's tensor-parallel tutorial. Each rank keeps its shard of random weights and
computes with one thread by default. The plans are interleaved; a repetition starts after a barrier and takes as long as
its slowest rank. Rank 0 prints CSV:

    peer,plan,seq,dtype,world,reps,median_s,low_s,high_s,max_abs_diff

low_s and high_s are the 95% interval of the median, by order statistics, empty for fewer than six repetitions;
max_abs_diff is how far the logits of the two plans are apart. Exits with 4 where that is too much.

    MASTER_PORT=29500 mpirun -n 2 python scripts/peers/dtensor_llama.py --seq 256,512
    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 scripts/peers/dtensor_llama.py --seq 256,512
"""
import argparse
import math
import os
import random
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (ColwiseParallel, PrepareModuleInput, RowwiseParallel, SequenceParallel,
                                               parallelize_module)

PLANS = ("tp", "tp+sp")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}  # of the largest logit
NORM_EPS = 1e-5
ROTARY_THETA = 10000.0
MOST_REPS = 1000


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def rotary_table(length, head_dim, dtype, device):
    """cos and sin, each [length, 1, head_dim / 2]."""
    exponent = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    angle = torch.outer(torch.arange(length, device=device, dtype=torch.float32), ROTARY_THETA ** -exponent)
    return angle.cos().to(dtype).unsqueeze(1), angle.sin().to(dtype).unsqueeze(1)


def rotate(heads, table):
    """Rotates [batch, seq, heads, head_dim] by position; the halves of a head are the two coordinates."""
    cos, sin = table
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self, hidden, heads, kv_heads):
        super().__init__()
        self.head_dim = hidden // heads
        self.grouped = kv_heads != heads
        self.wq, self.wo = (linear(hidden, hidden) for _ in range(2))
        self.wk, self.wv = (linear(hidden, kv_heads * self.head_dim) for _ in range(2))

    def forward(self, x, table):
        def split(y):  # into the heads of this rank
            return y.unflatten(-1, (-1, self.head_dim))

        queries, keys = rotate(split(self.wq(x)), table), rotate(split(self.wk(x)), table)
        mixed = F.scaled_dot_product_attention(queries.transpose(1, 2), keys.transpose(1, 2),
                                               split(self.wv(x)).transpose(1, 2), is_causal=True,
                                               enable_gqa=self.grouped)
        return self.wo(mixed.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    def __init__(self, hidden, ffn):
        super().__init__()
        self.w1, self.w3, self.w2 = linear(hidden, ffn), linear(hidden, ffn), linear(ffn, hidden)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.attention_norm, self.ffn_norm = (nn.RMSNorm(o.hidden, eps=NORM_EPS) for _ in range(2))
        self.attention = Attention(o.hidden, o.heads, o.kv_heads)
        self.feed_forward = FeedForward(o.hidden, o.ffn)

    def forward(self, x, table):
        x = x + self.attention(self.attention_norm(x), table)
        return x + self.feed_forward(self.ffn_norm(x))


class Llama(nn.Module):
    """Token ids [batch, seq] in, logits [batch, seq, vocab] out."""

    def __init__(self, o):
        super().__init__()
        self.tok_embeddings = nn.Embedding(o.vocab, o.hidden)
        self.layers = nn.ModuleList(Layer(o) for _ in range(o.layers))
        self.norm = nn.RMSNorm(o.hidden, eps=NORM_EPS)
        self.output = linear(o.hidden, o.vocab)

    def forward(self, tokens, table):
        x = self.tok_embeddings(tokens)
        for layer in self.layers:
            x = layer(x, table)
        return self.output(self.norm(x))


def ends_plan(plan):
    """The parallel styles of the modules before and after the layers."""
    if plan == "tp":
        return {"tok_embeddings": RowwiseParallel(input_layouts=Replicate()),
                "output": ColwiseParallel(output_layouts=Replicate())}
    return {"tok_embeddings": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
            "norm": SequenceParallel(),
            "output": ColwiseParallel(input_layouts=Shard(1), output_layouts=Replicate())}


def layer_plan(plan):
    columns = ("attention.wq", "attention.wk", "attention.wv", "feed_forward.w1", "feed_forward.w3")
    rows = ("attention.wo", "feed_forward.w2")
    styles = {name: ColwiseParallel() for name in columns}
    if plan == "tp":
        return styles | {name: RowwiseParallel() for name in rows}
    return styles | {name: RowwiseParallel(output_layouts=Shard(1)) for name in rows} | {
        "attention_norm": SequenceParallel(),
        "attention": PrepareModuleInput(input_layouts=(Shard(1), None), desired_input_layouts=(Replicate(), None)),
        "ffn_norm": SequenceParallel(),
        "feed_forward": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),))}


def replace_parameter(model, name, value):
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(value, requires_grad=False))


def fill(model, mesh, dtype, device, known):
    """Gives a model without storage its weights; plans with the same sharding of one share it, in `known`."""
    for index, (name, parameter) in enumerate(list(model.named_parameters())):
        placements = tuple(parameter.placements) if isinstance(parameter, DTensor) else None
        if (name, placements) not in known:
            # One full weight at a time, the same on all ranks, each of which keeps its shard.
            generator = torch.Generator().manual_seed(index)
            full = torch.ones(parameter.shape)
            if full.dim() == 2:
                full.normal_(0, full.shape[1] ** -0.5, generator=generator)
            full = full.to(device, dtype)
            known[name, placements] = full if placements is None else distribute_tensor(
                full, mesh, placements, src_data_rank=None)
        replace_parameter(model, name, known[name, placements])


def parallelized(model, mesh, ends, layer):
    """The model under these styles of its ends and of each layer."""
    parallelize_module(model, mesh, ends)
    for one in model.layers:
        parallelize_module(one, mesh, layer)
    return model


def without_storage(o):
    with torch.device("meta"):
        return Llama(o)


def make_models(o, mesh, dtype, device):
    models, known = {}, {}
    for plan in PLANS:
        model = parallelized(without_storage(o), mesh, ends_plan(plan), layer_plan(plan))
        fill(model, mesh, dtype, device, known)
        models[plan] = model.eval()
    return models


def slowest(values, device):
    """The largest of the ranks' values, element by element."""
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.tolist()


def timed(forward, device):
    dist.barrier()
    start = time.perf_counter()
    forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(forwards, o, device):
    """Seconds of every repetition, by plan. All ranks see the same times, so all stop at the same repetition."""
    order = random.Random(0)
    for _ in range(o.warmup):
        for forward in forwards.values():
            timed(forward, device)
    samples = {plan: [] for plan in forwards}
    while True:
        mine = dict.fromkeys(forwards)
        for plan in order.sample(list(forwards), len(forwards)):
            mine[plan] = timed(forwards[plan], device)
        for plan, seconds in zip(mine, slowest(list(mine.values()), device)):
            samples[plan].append(seconds)
        if enough(list(samples.values()), o):
            return samples


def enough(samples, o):
    """Whether these repetitions suffice: a list of seconds for each plan."""
    reps = len(samples[0])
    return reps >= o.reps and (reps >= MOST_REPS or all(sum(times) >= o.min_time for times in samples))


def median_interval(samples):
    """(low, high): order statistics that hold the median with 95%; nothing for fewer than six samples."""
    n, ordered = len(samples), sorted(samples)
    outside, k = 0.0, 0
    while k < n // 2:
        outside += math.comb(n, k) / 2 ** n
        if 2 * outside > 0.05:
            break
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k > 0 else ("", "")


def compare(forwards, o, device):
    """The largest difference of a logit between the plans; and whether that is little enough."""
    one, other = (forwards[plan]().float() for plan in PLANS)
    if one.shape != other.shape:
        return math.inf, False
    difference, largest = slowest([(one - other).abs().max().item(), one.abs().max().item()], device)
    return difference, difference <= TOLERANCE[o.dtype] * largest


def run(o, mesh, device):
    dtype = DTYPES[o.dtype]
    models = make_models(o, mesh, dtype, device)
    agree = True
    say("peer,plan,seq,dtype,world,reps,median_s,low_s,high_s,max_abs_diff")
    for seq in o.seq:
        tokens = torch.randint(o.vocab, (o.batch, seq), generator=torch.Generator().manual_seed(seq)).to(device)
        table = rotary_table(seq, o.hidden // o.heads, dtype, device)
        forwards = {plan: (lambda model=model: model(tokens, table)) for plan, model in models.items()}
        difference, good = compare(forwards, o, device)
        agree = agree and good
        for plan, samples in measure(forwards, o, device).items():
            low, high = median_interval(samples)
            say_row("dtensor", plan, seq, o.dtype, dist.get_world_size(), len(samples), statistics.median(samples),
                    low, high, difference)
    return agree


def say(line):
    if dist.get_rank() == 0:
        print(line, flush=True)


def say_row(*cells):
    say(",".join(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells))


def fail(message, code=2):
    print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
    sys.exit(code)


def end_ranks():
    dist.barrier()  # so that no rank is gone while another still talks to it
    dist.destroy_process_group()


def leave(code):
    """Without Python's and LibTorch's clean-up at exit, in which Gloo's threads have been seen to end a process that had
    finished its work ("terminate called without an active exception")."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def set_up_ranks():
    """The device of this rank, in a process group of all. mpirun and torchrun say who is who."""
    if "OMPI_COMM_WORLD_RANK" in os.environ:
        os.environ["RANK"] = os.environ["OMPI_COMM_WORLD_RANK"]
        os.environ["WORLD_SIZE"] = os.environ["OMPI_COMM_WORLD_SIZE"]
        os.environ["LOCAL_RANK"] = os.environ["OMPI_COMM_WORLD_LOCAL_RANK"]
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        if name not in os.environ:
            fail(f"{name} is not set; start it as its first lines say")
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if cuda else "gloo")
    return torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")


def words(text):
    return text.split(",")


def option_parser(description):
    """The options that all of these peers have."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    for name, default in {"layers": 2, "hidden": 4096, "ffn": 11008, "heads": 32, "vocab": 32000, "batch": 2,
                          "reps": 9, "warmup": 1, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help="default: %(default)s")
    parser.add_argument("--kv-heads", type=int, help="default: as many as heads")
    parser.add_argument("--seq", type=lambda text: [int(word) for word in words(text)], default=[256, 512, 1024],
                        metavar="LIST", help="lengths (default: 256,512,1024)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: %(default)s")
    parser.add_argument("--min-time", type=float, default=0.5, metavar="S",
                        help="repetitions go on until a plan has so many seconds of them (default: %(default)s)")
    return parser


def options(parser=None):
    parser = parser or option_parser(__doc__)
    o = parser.parse_args()
    o.kv_heads = o.heads if o.kv_heads is None else o.kv_heads
    if min(o.layers, o.hidden, o.ffn, o.heads, o.kv_heads, o.vocab, o.batch, o.reps, o.threads, *o.seq) < 1 or o.warmup < 0:
        parser.error("sizes and counts are at least 1")
    return o


def require_fit(o, world, lengths):
    """A size that does not divide evenly over the ranks would give them different work, and is refused."""
    shared = {"heads": o.heads, "kv heads": o.kv_heads, "ffn": o.ffn, "vocab": o.vocab} | {f"seq {seq}": seq for seq in lengths}
    odd = [name for name, size in shared.items() if size % world]
    if o.hidden % (2 * o.heads):
        odd.append("hidden over heads")
    if o.heads % o.kv_heads:
        odd.append("heads over kv heads")
    if odd:
        fail(f"{', '.join(odd)} can not be shared by {world} ranks; choose other sizes")


def main():
    o = options()
    torch.set_num_threads(o.threads)
    device = set_up_ranks()
    require_fit(o, dist.get_world_size(), o.seq)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    with torch.no_grad():
        agree = run(o, mesh, device)
    end_ranks()
    if not agree:
        print("dtensor_llama.py: error: the logits of the plans are too far apart", file=sys.stderr)
    leave(0 if agree else 4)


if __name__ == "__main__":
    main()
