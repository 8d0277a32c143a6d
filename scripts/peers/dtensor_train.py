#!/usr/bin/env python3
"""LLaMA's training step under PyTorch's DTensor: the peer of `tpsp-bench --workload train` in scripts/peers.sh.

Model, plans, weights and the way to measure are those of dtensor_llama.py, but the head leaves its logits sharded over
the vocabulary (loss_parallel). A step is the forward, the mean cross-entropy of all tokens, the backward and, with
--optimizer adamw, PyTorch's fused AdamW. Before it stands a barrier; gradients are dropped after it, outside its time.
--recompute block wraps each layer in torch.utils.checkpoint. Rank 0 prints CSV:

    peer,plan,seq,dtype,world,reps,step_s,low_s,high_s,forward_s,backward_s,optimizer_s,saved_bytes,loss,recompute,
    optimizer,step_samples_s,forward_samples_s,backward_samples_s,optimizer_samples_s

Seconds are the slowest rank's and, but for the samples, medians; low_s and high_s belong to step_s. forward_s includes
the loss. saved_bytes is what autograd holds when the forward ends, on the rank with the most: each storage once and
whole, without those of weights and of the rotary table. loss is that of the first step. Exits with 4 where the losses
of the plans are too far apart.

    MASTER_PORT=29500 mpirun -n 2 python scripts/peers/dtensor_train.py --seq 256,512 --recompute block

--check measures nothing. It compares loss and gradients with those of the unsharded model, prints the largest error of
each plan, and exits with 1 where one is too large:

    peer,plan,seq,dtype,world,recompute,max_rel_err,parameter

Two things to know of the tutorial's plans. Under tp each of a layer's five column-parallel products sums its input's
gradient over the ranks by itself. Under tp+sp the norms' gradients stay partial sums until the optimizer reads them.
"""
import contextlib
import functools
import math
import random
import statistics
import sys
import time
import weakref
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, loss_parallel
from torch.utils.checkpoint import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parent))
import dtensor_llama as peer  # noqa: E402  (from this folder)

PARTS = ("step", "forward", "backward", "optimizer")
COLUMNS = ("peer", "plan", "seq", "dtype", "world", "reps", "step_s", "low_s", "high_s", "forward_s", "backward_s",
           "optimizer_s", "saved_bytes", "loss", "recompute", "optimizer",
           *(f"{part}_samples_s" for part in PARTS))
CHECK_COLUMNS = ("peer", "plan", "seq", "dtype", "world", "recompute", "max_rel_err", "parameter")


def ends_plan(plan):
    """Like the forward's, but for the logits: what the loss takes is their shard."""
    inputs = {"input_layouts": Shard(1)} if plan == "tp+sp" else {}
    head = ColwiseParallel(**inputs, output_layouts=Shard(-1), use_local_output=False)
    return peer.ends_plan(plan) | {"output": head}


def prepared(model, o):
    """The filled model, ready to train."""
    if o.recompute == "block":
        for layer in model.layers:
            layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    return model.requires_grad_(True).train()


def make_models(o, mesh, device):
    models, known = {}, {}
    for plan in o.plans:
        model = peer.parallelized(peer.without_storage(o), mesh, ends_plan(plan), peer.layer_plan(plan))
        # An optimizer changes the weights, and each plan then needs its own.
        peer.fill(model, mesh, peer.DTYPES[o.dtype], device, known if o.optimizer == "none" else {})
        models[plan] = prepared(model, o)
    return models


def make_optimizer(model, o):
    """AdamW in groups, since its fused kernel takes no list of both DTensors and plain tensors; None for none."""
    if o.optimizer == "none":
        return None
    groups = {True: [], False: []}
    for parameter in model.parameters():
        groups[isinstance(parameter, DTensor)].append(parameter)
    return torch.optim.AdamW([{"params": group} for group in groups.values() if group], lr=1e-5, fused=True)


class Batch:
    """Token ids, the next ones as targets, and the rotary table of their length."""

    def __init__(self, o, seq, device):
        text = torch.randint(o.vocab, (o.batch, seq + 1), generator=torch.Generator().manual_seed(seq)).to(device)
        self.tokens, self.targets = text[:, :-1].contiguous(), text[:, 1:].contiguous()
        self.table = peer.rotary_table(seq, o.hidden // o.heads, peer.DTYPES[o.dtype], device)

    def loss(self, model):
        return F.cross_entropy(model(self.tokens, self.table).flatten(0, 1).float(), self.targets.flatten())


def storage(tensor):
    """That of the tensor itself, or of a DTensor's part on this rank."""
    with torch.no_grad():
        tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return getattr(tensor, "elem", tensor).untyped_storage()  # elem: of a collective's result not yet waited for


class Held:
    """A tensor in autograd's keeping. It goes when autograd lets go of it, or at the latest with the graph."""

    def __init__(self, tensor):
        self.tensor = tensor


class Saved:
    """What autograd holds for the backward of a model, without what is in memory anyway."""

    def __init__(self, model, batch):
        self.known = {storage(tensor).data_ptr() for tensor in (*model.parameters(), *model.buffers(), *batch.table)}
        self.held = weakref.WeakSet()

    def hooks(self):
        def pack(tensor):
            held = Held(tensor)
            self.held.add(held)
            return held

        return torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor)

    def bytes(self):
        storages = [storage(held.tensor) for held in self.held]
        sizes = {one.data_ptr(): one.nbytes() for one in storages}
        return sum(size for address, size in sizes.items() if address not in self.known)


def step(model, optimizer, batch, device, saved=None):
    """The seconds of the parts of one step on this rank, its loss, and the bytes it saved if they are to be counted."""
    def now():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    dist.barrier()
    marks = [now()]
    with loss_parallel():
        with saved.hooks() if saved else contextlib.nullcontext():
            loss = batch.loss(model)
        marks.append(now())
        saved_bytes = saved.bytes() if saved else None
        loss.backward()
    marks.append(now())
    if optimizer:
        optimizer.step()
    marks.append(now())
    seconds = [marks[-1] - marks[0]] + [end - start for start, end in zip(marks, marks[1:])]
    loss = loss.detach()
    return seconds, (loss.full_tensor() if isinstance(loss, DTensor) else loss).item(), saved_bytes


def first_steps(models, optimizers, batch, device):
    """{plan: (loss, saved bytes)}"""
    result = {}
    for plan, model in models.items():
        _, loss, saved_bytes = step(model, optimizers[plan], batch, device, Saved(model, batch))
        model.zero_grad(set_to_none=True)
        result[plan] = peer.slowest([loss, saved_bytes], device)
    return result


def measure(models, optimizers, batch, o, device):
    """{plan: seconds of each repetition, in the order of PARTS}, interleaved as in dtensor_llama.py."""
    order = random.Random(0)
    samples = {plan: [] for plan in models}
    for rep in range(-o.warmup, peer.MOST_REPS):
        mine = dict.fromkeys(models)
        for plan in order.sample(list(models), len(models)):
            mine[plan], *_ = step(models[plan], optimizers[plan], batch, device)
            models[plan].zero_grad(set_to_none=True)
        for plan, seconds in mine.items():
            slowest = peer.slowest(seconds, device)
            if rep >= 0:
                samples[plan].append(slowest)
        if rep >= 0 and peer.enough([[seconds[0] for seconds in times] for times in samples.values()], o):
            break
    return samples


def say_training_row(o, plan, seq, samples, loss, saved_bytes):
    parts = dict(zip(PARTS, zip(*samples)))
    if o.optimizer == "none":
        parts["optimizer"] = ()
    medians = {part: statistics.median(times) if times else "" for part, times in parts.items()}
    low, high = peer.median_interval(samples=parts["step"])
    peer.say_row("dtensor", plan, seq, o.dtype, dist.get_world_size(), len(samples), medians.pop("step"), low, high,
                 *medians.values(), int(saved_bytes), loss, o.recompute, o.optimizer,
                 *(";".join(f"{seconds:.6g}" for seconds in times) for times in parts.values()))


def run(o, mesh, device):
    """Whether the plans agree."""
    models = make_models(o, mesh, device)
    optimizers = {plan: make_optimizer(model, o) for plan, model in models.items()}
    agree = True
    peer.say(",".join(COLUMNS))
    for seq in o.seq:
        batch = Batch(o, seq, device)
        first = first_steps(models, optimizers, batch, device)
        losses = [loss for loss, _ in first.values()]
        agree = agree and max(losses) - min(losses) <= peer.TOLERANCE[o.dtype] * max(losses)
        for plan, samples in measure(models, optimizers, batch, o, device).items():
            say_training_row(o, plan, seq, samples, *first[plan])
    return agree


def loss_and_gradients(model, batch):
    """{name: whole tensor}; drops the gradients."""
    with loss_parallel():  # of no effect on an unsharded model
        loss = batch.loss(model)
        loss.backward()
    found = {"loss": loss.detach()} | {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in found.items()}


def check(o, mesh, device):
    """Whether loss and gradients of each plan are those of the unsharded model."""
    unsharded = peer.without_storage(o)
    peer.fill(unsharded, mesh, peer.DTYPES[o.dtype], device, {})
    unsharded.requires_grad_(True)
    good = True
    peer.say(",".join(CHECK_COLUMNS))
    for seq in o.seq:
        batch = Batch(o, seq, device)
        expected = loss_and_gradients(unsharded, batch)
        for plan, model in make_models(o, mesh, device).items():
            found = loss_and_gradients(model, batch)
            mine = [((found[name] - value).abs().max() / value.abs().max()).item() for name, value in expected.items()]
            mine = [error if math.isfinite(error) else math.inf for error in mine]  # a maximum may lose one rank's NaN
            errors = dict(zip(expected, peer.slowest(mine, device)))
            worst = max(errors, key=errors.get)
            good = good and all(error <= o.tolerance for error in errors.values())
            peer.say_row("dtensor", plan, seq, o.dtype, dist.get_world_size(), o.recompute, errors[worst], worst)
    return good


def options():
    parser = peer.option_parser(__doc__)
    parser.add_argument("--plans", type=peer.words, default=list(peer.PLANS), metavar="LIST", help="default: tp,tp+sp")
    parser.add_argument("--recompute", choices=("none", "block"), default="none",
                        help="what the backward computes again (default: %(default)s)")
    parser.add_argument("--optimizer", choices=("none", "adamw"), default="none", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="compare gradients with the unsharded model's")
    parser.add_argument("--tolerance", type=float, help="of --check, relative to the largest value of a gradient "
                        f"(default: {', '.join(f'{value:g} in {dtype}' for dtype, value in peer.TOLERANCE.items())})")
    o = peer.options(parser)
    o.tolerance = peer.TOLERANCE[o.dtype] if o.tolerance is None else o.tolerance
    if not set(o.plans) <= set(peer.PLANS) or len(set(o.plans)) < len(o.plans):
        parser.error(f"--plans wants some of {','.join(peer.PLANS)}")
    return o


def require_fit(o, world):
    odd = [str(seq) for seq in o.seq if seq % world] if "tp+sp" in o.plans else []
    if odd:
        peer.fail(f"tp+sp gives each rank as much of a sequence, and {world} ranks can not share {', '.join(odd)}; "
                  "choose other lengths, or --plans tp")
    peer.require_fit(o, world, [])


def main():
    o = options()
    torch.set_num_threads(o.threads)
    device = peer.set_up_ranks()
    world = dist.get_world_size()
    require_fit(o, world)
    mesh = init_device_mesh(device.type, (world,))
    good = check(o, mesh, device) if o.check else run(o, mesh, device)
    rank = dist.get_rank()
    peer.end_ranks()
    if not good and rank == 0:
        what = ("a gradient is too far from the unsharded model's" if o.check else
                "the losses of the plans are too far apart")
        print(f"dtensor_train.py: error: {what}", file=sys.stderr)
    peer.leave(0 if good else 1 if o.check else 4)


if __name__ == "__main__":
    main()
