"""What both oracles share: the command line, the folder's io.safetensors, and the verdict."""
import argparse
import sys
from pathlib import Path

from safetensors.torch import load_file


def main(forward, description):
    """Compares forward(folder, tokens) with the folder's logits; returns the exit status."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest max|a-b|/max|b| (default: %(default)s)")
    args = parser.parse_args()

    io = load_file(args.folder / "io.safetensors")
    ours, expected = io["logits"].float(), forward(args.folder, io["tokens"])
    if ours.shape != expected.shape:
        print(f"logits have shape {list(ours.shape)}, expected {list(expected.shape)}", file=sys.stderr)
        return 1
    error = ((ours - expected).abs().max() / expected.abs().max()).item()
    print(f"max_rel_err = {error:.3g}")
    return 0 if error <= args.tolerance else 1  # a NaN is no agreement
