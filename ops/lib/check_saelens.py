"""Compares the trainer with the real SAELens: latents and reconstructions of autoencoders that either of them wrote."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from sae_lens import SAE, BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.registry import get_sae_class

TESTS = pathlib.Path(__file__).resolve().parent.parent.parent / "trainer" / "tests"
MODEL = str(TESTS / "tiny-llama")
WIDTH = 64
LATENTS = 256
TOLERANCE = 1e-4
ROWS = 512

# What the trainer trains, and as what SAELens reads it.
TRAINED = {
    "standard": {},
    "topk": {"topK": 16},
    "batchtopk": {"activationFunction": "batchtopk", "topK": 16},
    "jumprelu": {"activationFunction": "jumprelu", "l1Coefficient": 0.05, "jumpThreshold": 0.01, "jumpBandwidth": 0.05},
    "gated": {"activationFunction": "gated"},
}

# What SAELens writes.
OF_OTHERS = {
    "standard": {},
    "standard without the decoder's bias": {"architecture": "standard", "apply_b_dec_to_input": False},
    "topk": {"k": 16},
    "topk rescaled": {"architecture": "topk", "k": 16, "rescale_acts_by_decoder_norm": True},
    "jumprelu": {},
    "gated": {},
    "transcoder": {"d_out": WIDTH, "apply_b_dec_to_input": False},
    "skip_transcoder": {"d_out": WIDTH, "apply_b_dec_to_input": False},
    "jumprelu_transcoder": {"d_out": WIDTH, "apply_b_dec_to_input": False},
    "jumprelu_skip_transcoder": {"d_out": WIDTH, "apply_b_dec_to_input": False},
}


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
    """An autoencoder of each activation function on the tiny model."""
    tokens = directory / "tokens"
    prepare = {
        "kind": "prepare_dataset",
        "source_path": str(TESTS / "texts"),
        "text_column": "text",
        "tokenizer_path": MODEL,
        "context_length": 64,
        "output_path": str(tokens),
    }
    run(trainer, directory / "dataset", prepare)
    results = []
    for name, more in TRAINED.items():
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
            "model_path": MODEL,
            "model_name": "tiny-llama",
            "tokenized_path": str(tokens),
            "encoder_type": "sparse",
            "hyperparameters": hyperparameters,
        }
        results.append(pathlib.Path(run(trainer, directory / name, work)["path"]))
    return results


def randomize(sae: SAE) -> None:
    """Weights of a plausible size, all of them other than 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise.abs() * 0.3 if name == "threshold" else noise * 0.2)


def write_as_others(directory: pathlib.Path) -> dict[str, tuple[SAE, pathlib.Path]]:
    """An autoencoder of each architecture of SAELens, and where SAELens wrote it."""
    metadata = {"model_name": "tiny-llama", "hook_name": "blocks.1.hook_resid_post", "context_size": 64, "prepend_bos": True}
    written = {}
    for name, more in OF_OTHERS.items():
        more = dict(more)
        sae_class, config_class = get_sae_class(more.pop("architecture", name))
        config = config_class(d_in=WIDTH, d_sae=LATENTS, **more)
        for key, value in metadata.items():
            config.metadata[key] = value
        sae = sae_class(config)
        randomize(sae)
        path = directory / f"of others, {name}"
        sae.save_model(path)
        written[name] = (sae, path)

    # A checkpoint of a training: the threshold is one number, and the activations' scale lies beside.
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(
            d_in=WIDTH, d_sae=LATENTS, k=16, rescale_acts_by_decoder_norm=True, normalize_activations="expected_average_only_in"
        )
    )
    randomize(sae)
    sae.topk_threshold.fill_(0.4)
    path = directory / "of others, batchtopk"
    sae.save_model(path)
    scale = 1.5
    (path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale, "has_whitening": False}))
    sae.fold_activation_norm_scaling_factor(scale)
    trained = directory / "as SAELens reads it, batchtopk"
    sae.save_inference_model(trained)
    written["checkpoint of a batchtopk"] = (SAE.load_from_disk(trained), path)
    return written


def activations_for(sae: SAE) -> torch.Tensor:
    """Activations in which latents fire as they do in use."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(sae.cfg.d_sae, (ROWS, 8), generator=generator)
    # A transcoder's decoder writes other activations than it reads.
    rows = sae.W_enc.detach().T if sae.cfg.architecture().endswith("transcoder") else sae.W_dec.detach()
    base = sae.b_dec.detach() if sae.cfg.apply_b_dec_to_input else torch.zeros(sae.cfg.d_in)
    noise = torch.randn(ROWS, sae.cfg.d_in, generator=generator) * rows.norm(dim=-1).mean()
    return (base + rows[chosen].sum(1) * 16 + noise * 0.1).contiguous()


def compare(trainer: str, name: str, sae: SAE, autoencoder: pathlib.Path, directory: pathlib.Path) -> bool:
    """Whether the trainer computes from a directory what SAELens computes with `sae`."""
    activations = activations_for(sae)
    given, taken = directory / "activations.safetensors", directory / "reconstruction.safetensors"
    save_file({"activations": activations}, given)
    command = [trainer, "reconstruct", "--autoencoder", autoencoder, "--activations", given, "--output", taken]
    subprocess.run([str(part) for part in command], check=True)
    ours = load_file(taken)
    with torch.no_grad():
        theirs = {"latents": sae.encode(activations), "reconstruction": sae(activations)}
    active = (theirs["latents"] > 0).float().sum(-1).mean().item()
    print(f"{name}: {sae.cfg.architecture()}, {sae.cfg.d_in} to {sae.cfg.d_sae}, {active:.1f} latents active")
    good = active > 0
    for what, expected in theirs.items():
        off = ((ours[what] - expected).norm() / expected.norm()).item()
        verdict = "same" if off <= TOLERANCE else "DIFFERENT"
        print(f"  {what}: off by {off:.1e} of its norm: {verdict}")
        good &= off <= TOLERANCE
    return good


def check_of_others(trainer: str, directory: pathlib.Path) -> list[bool]:
    """What SAELens wrote is read alike, and what the trainer makes of it is read alike by SAELens."""
    good = []
    for number, (name, (sae, path)) in enumerate(write_as_others(directory).items()):
        good.append(compare(trainer, f"written by SAELens, {name}", sae, path, directory))
        work = {"kind": "import_autoencoder", "training_id": "tr_import", "source_path": str(path), "model_path": MODEL}
        result = pathlib.Path(run(trainer, directory / f"import {number}", work)["path"])
        imported = SAE.load_from_disk(result)
        with torch.no_grad():
            activations = activations_for(sae)
            expected, found = sae(activations), imported(activations)
        off = ((found - expected).norm() / expected.norm()).item()
        print(f"  imported, and read by SAELens: off by {off:.1e}: {'same' if off <= TOLERANCE else 'DIFFERENT'}")
        good.append(off <= TOLERANCE)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainer", required=True)
    parser.add_argument("autoencoders", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        trainer = arguments.trainer
        autoencoders = arguments.autoencoders or train_small(trainer, directory)
        good = [compare(trainer, str(path), SAE.load_from_disk(path), path, directory) for path in autoencoders]
        if not arguments.autoencoders:
            good += check_of_others(trainer, directory)
    if not all(good):
        sys.exit("SAELens and the trainer disagree")


if __name__ == "__main__":
    main()
