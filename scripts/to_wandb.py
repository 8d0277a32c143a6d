#!/usr/bin/env python3
"""Logs results files of tpsp-bench to Weights & Biases: one run for each file and run_id, with the shared columns as
its configuration, each number against seq, and all rows as the table "rows".

Offline by default: each run is a folder under DIR/wandb, which `wandb sync FOLDER` sends later. With --mode online, and
after `wandb login`, it is sent at once.
"""
import argparse
import os
from pathlib import Path

import results_file

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def log_run(wandb, name, rows, options):
    columns = [column for column in dict.fromkeys(c for row in rows for c in row) if column not in results_file.RAW]
    data = [[";".join(cell) if isinstance(cell := row.get(c), list) else cell for c in columns] for row in rows]
    with wandb.init(project=options.project, name=name, mode=options.mode, dir=options.dir,
                    config=results_file.shared(rows), settings=wandb.Settings(silent=True)) as run:
        run.define_metric("*", step_metric="seq")
        for seq, numbers in results_file.metrics(rows):
            run.log({"seq": seq, **numbers})
        run.log({"rows": wandb.Table(columns=columns, data=data, allow_mixed_types=True)})
        print(f"{name}: {len(rows)} rows in {Path(run.dir).parent}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .csv or .jsonl file")
    parser.add_argument("--project", default="tpsp-bench", help="default: %(default)s")
    parser.add_argument("--mode", choices=["offline", "online"], default="offline", help="default: %(default)s")
    parser.add_argument("--dir", default=".", help="where the folder wandb/ is made, default: here")
    results_file.log_files(log_run, results_file.library("wandb", "wandb"), parser.parse_args())


if __name__ == "__main__":
    main()
