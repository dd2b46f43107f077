"""Trains on real images through the run contract and prints the Dice coefficients of what was held out."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# Steps, and the mean Dice coefficient that they are to reach.
SETS = {"nuclei": (200, 0.9), "brain": (400, 0.85)}


def train(trainer, images, name, steps):
    """The last evaluation of a training."""
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(directory)
        spec = {
            "contract": 1,
            "run_id": f"seg_{name}",
            "lease": 1,
            "heartbeat_interval_ms": 1000,
            "resources": {"device": "cpu", "cpu_threads": os.cpu_count()},
            "work": {
                "kind": "train_segmentation",
                "training_id": f"seg_{name}",
                "images_path": str(images / name / "images"),
                "labels_path": str(images / name / "labels"),
                "settings": {
                    "trainingSteps": steps,
                    "checkpointInterval": steps,
                    "warmupSteps": 20,
                    "learningRate": 0.002,
                    "heldOut": 0.25,
                },
            },
        }
        (run / "spec.json").write_text(json.dumps(spec))
        subprocess.run([trainer, "run", run, "--lease", "1"], check=True)
        records = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        if records[-1]["record"] != "completed":
            sys.exit(f"{name}: {records[-1]}")
        return next(record for record in records if record["record"] == "segmentation_evaluated")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainer", required=True, type=pathlib.Path)
    parser.add_argument("--images", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    bad = 0
    for name, (steps, least) in SETS.items():
        began = time.monotonic()
        found = train(arguments.trainer, arguments.images, name, steps)
        dice = ", ".join(f"{value:.3f}" for value in found["dice"])
        seconds = time.monotonic() - began
        print(f"{name}: Dice {dice} (mean {found['mean_dice']:.3f}) on {found['images']} held-out slices, {steps} steps in {seconds:.0f} s")
        bad += found["mean_dice"] < least
    sys.exit(1 if bad else 0)


main()
