#!/usr/bin/env python3
"""Logs results files of tpsp-bench to MLflow: one run for each file and run_id, with the shared columns as its
parameters and each number as a metric whose step is seq. `mlflow ui --backend-store-uri sqlite:///STORE` shows it, and
needs the full package mlflow.
"""
import argparse
import os
import re
from pathlib import Path

import results_file

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


def log_run(mlflow, name, rows, options):
    store = Path(options.store).absolute()
    store.parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    mlflow.set_experiment(options.experiment)
    with mlflow.start_run(run_name=name):
        mlflow.log_params(results_file.shared(rows))
        for seq, numbers in results_file.metrics(rows):  # MLflow's names know no plus sign
            mlflow.log_metrics({re.sub(r"[^\w .:/-]", "-", tag): value for tag, value in numbers.items()}, step=seq)
    print(f"{name}: {len(rows)} rows in {store}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .csv or .jsonl file")
    parser.add_argument("--store", default="mlflow.db", help="an SQLite file, default: %(default)s")
    parser.add_argument("--experiment", default="tpsp-bench", help="default: %(default)s")
    results_file.library("sqlalchemy", "sqlalchemy alembic")
    results_file.log_files(log_run, results_file.library("mlflow", "mlflow-skinny"), parser.parse_args())


if __name__ == "__main__":
    main()
