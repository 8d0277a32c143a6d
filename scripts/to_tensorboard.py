#!/usr/bin/env python3
"""Logs results files of tpsp-bench for TensorBoard: one folder under DIR for each file and run_id, with each number as
a scalar whose step is seq, and the shared columns as the text "case". `tensorboard --logdir DIR` shows it.
"""
import argparse
from pathlib import Path

import results_file


def log_run(tensorboard, name, rows, options):
    folder = Path(options.dir) / name
    if folder.exists():
        raise FileExistsError(f"{folder} is there already, and the numbers would be in it twice; give another --dir")
    with tensorboard.SummaryWriter(str(folder)) as writer:
        case = results_file.shared(rows)
        writer.add_text("case", "\n".join(["|column|value|", "|---|---|", *(f"|{k}|{v}|" for k, v in case.items())]))
        for seq, numbers in results_file.metrics(rows):
            for tag, value in numbers.items():
                writer.add_scalar(tag, value, seq)
    print(f"{name}: {len(rows)} rows in {folder}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .csv or .jsonl file")
    parser.add_argument("--dir", default="tensorboard", help="default: %(default)s/")
    results_file.log_files(log_run, results_file.library("tensorboardX", "tensorboardX"), parser.parse_args())


if __name__ == "__main__":
    main()
