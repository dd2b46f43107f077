"""Loads autoencoders with the real SAELens and compares latents and reconstructions with the trainer's own."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from sae_lens import SAE

TESTS = pathlib.Path(__file__).resolve().parent.parent.parent / "trainer" / "tests"
TOLERANCE = 1e-4
ROWS = 512


def run(trainer: str, directory: pathlib.Path, work: dict) -> dict:
    """One run of the trainer, as the daemon starts it; its last record."""
    directory.mkdir()
    spec = {
        "contract": 1,
        "run_id": directory.name,
        "lease": 1,
        "heartbeat_interval_ms": 1000,
        "resources": {"device": "cpu", "cpu_threads": 2},
        "work": work,
    }
    (directory / "spec.json").write_text(json.dumps(spec))
    subprocess.run([trainer, "run", str(directory), "--lease", "1"], check=True)
    last = json.loads((directory / "journal.jsonl").read_text().splitlines()[-1])
    if last["record"] == "failed":
        sys.exit(f"the trainer failed: {last['message']}")
    return last


def train_small(trainer: str, directory: pathlib.Path) -> list[pathlib.Path]:
    """A standard and a topk autoencoder on the tiny model."""
    model, tokens = str(TESTS / "tiny-llama"), directory / "tokens"
    prepare = {
        "kind": "prepare_dataset",
        "source_path": str(TESTS / "texts"),
        "text_column": "text",
        "tokenizer_path": model,
        "context_length": 64,
        "output_path": str(tokens),
    }
    run(trainer, directory / "dataset", prepare)
    results = []
    for name, more in [("standard", {}), ("topk", {"topK": 16})]:
        hyperparameters = {
            "learningRate": 0.001,
            "batchSize": 256,
            "l1Coefficient": 0.5,
            "expansionFactor": 8,
            "trainingSteps": 300,
            "optimizer": "AdamW",
            "lrSchedule": "cosine",
            "ghostGradPenalty": False,
            **more,
        }
        work = {
            "kind": "train",
            "training_id": f"tr_{name}",
            "model_path": model,
            "model_name": "tiny-llama",
            "tokenized_path": str(tokens),
            "encoder_type": "sparse",
            "hyperparameters": hyperparameters,
        }
        results.append(pathlib.Path(run(trainer, directory / name, work)["path"]))
    return results


def check(trainer: str, autoencoder: pathlib.Path, directory: pathlib.Path) -> bool:
    """Whether SAELens computes what the trainer computes, on activations like those that the autoencoder was trained on."""
    sae = SAE.load_from_disk(autoencoder)
    generator = torch.Generator().manual_seed(0)
    # Around what the decoder writes, so that latents fire as they do in use.
    chosen = torch.randint(sae.cfg.d_sae, (ROWS, 8), generator=generator)
    norms = sae.W_dec.detach().norm(dim=-1).mean()
    activations = sae.b_dec.detach() + sae.W_dec.detach()[chosen].sum(1) * 4
    activations = activations + torch.randn(ROWS, sae.cfg.d_in, generator=generator) * norms * 0.1
    given, taken = directory / "activations.safetensors", directory / "reconstruction.safetensors"
    save_file({"activations": activations.contiguous()}, given)
    command = [trainer, "reconstruct", "--autoencoder", autoencoder, "--activations", given, "--output", taken]
    subprocess.run([str(part) for part in command], check=True)
    ours = load_file(taken)
    good = True
    with torch.no_grad():
        latents = sae.encode(activations)
        theirs = {"latents": latents, "reconstruction": sae.decode(latents)}
    print(f"{autoencoder}: {sae.cfg.architecture()}, {sae.cfg.d_in} to {sae.cfg.d_sae}, {sae.cfg.metadata.hook_name}")
    active = (latents > 0).float().sum(-1).mean().item()
    print(f"  {active:.1f} latents active of {sae.cfg.d_sae}")
    good &= active > 0
    for name, expected in theirs.items():
        off = ((ours[name] - expected).norm() / expected.norm()).item()
        verdict = "same" if off <= TOLERANCE else "DIFFERENT"
        print(f"  {name}: off by {off:.1e} of its norm: {verdict}")
        good &= off <= TOLERANCE
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainer", required=True)
    parser.add_argument("autoencoders", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        autoencoders = arguments.autoencoders or train_small(arguments.trainer, directory)
        good = [check(arguments.trainer, autoencoder, directory) for autoencoder in autoencoders]
    if not all(good):
        sys.exit("SAELens and the trainer disagree")


if __name__ == "__main__":
    main()
