"""What both oracles share: the command line, the folder's files, and the verdict."""
import argparse
from pathlib import Path

from safetensors.torch import load_file


class Disagreement(Exception):
    """What is to be compared is not the same thing."""


def relative_error(ours, expected, what):
    if ours.shape != expected.shape:
        raise Disagreement(f"{what} has shape {list(ours.shape)}, expected {list(expected.shape)}")
    return ((ours.float() - expected).abs().max() / expected.abs().max()).item()


def worst(errors):
    """The name of the largest error; a NaN is larger than any."""
    return max(errors, key=lambda name: (errors[name] != errors[name], errors[name]))


def compare(folder, evaluate):
    """The line to print for each thing that the folder has, and its error."""
    io = load_file(folder / "io.safetensors")
    logits, loss, gradients = evaluate(folder, io["tokens"], io.get("targets"))
    error = relative_error(io["logits"], logits, "logits")
    yield f"max_rel_err = {error:.3g}", error
    if "targets" not in io:
        return
    error = relative_error(io["loss"], loss.reshape(1), "loss")
    yield f"loss_rel_err = {error:.3g}", error
    ours = load_file(folder / "gradients.safetensors")
    if ours.keys() != gradients.keys():
        raise Disagreement(f"gradients of other weights: {sorted(ours.keys() ^ gradients.keys())}")
    errors = {name: relative_error(ours[name], gradients[name], name) for name in ours}
    name = worst(errors)
    yield f"gradient_max_rel_err = {errors[name]:.3g} ({name})", errors[name]


def main(evaluate, description):
    """Compares evaluate(folder, tokens, targets) with what the folder has; returns the exit status. It gives logits, the
    mean loss and the gradients by the weights' names; targets are None, and the last two not read, where only a forward
    was exported."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest max|a-b|/max|b| (default: %(default)s)")
    args = parser.parse_args()

    agrees = True
    try:
        for line, error in compare(args.folder, evaluate):
            print(line)
            agrees &= error <= args.tolerance  # a NaN is no agreement
    except Disagreement as what:
        print(what)
        return 1
    return 0 if agrees else 1
