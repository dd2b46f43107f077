"""Trains one autoencoder with SAELens on activations in memory and prints, as JSON, its speed and loss.

Started by the benchmark `autoencoder`, which gives both sides the same activations, initial weights and batches.
"""

import argparse
import json
import statistics
import time

import torch
from safetensors.torch import load_file
from sae_lens import SAETrainer
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.registry import get_sae_training_class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="safetensors with activations, decoder, decoder_bias")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True, help="first steps that are not timed")
    parser.add_argument("--last", type=int, required=True, help="last steps whose mean loss is reported")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--sparsity", type=float, required=True, help="weight of an L1 or L0 loss")
    parser.add_argument("--top-k", type=int, required=True)
    parser.add_argument("--threshold", type=float, required=True, help="of JumpReLU, at the beginning")
    parser.add_argument("--bandwidth", type=float, required=True, help="of JumpReLU's estimator")
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    data = load_file(arguments.data)
    batches = list(data["activations"].split(arguments.batch))
    d_sae, d_in = data["decoder"].shape
    common = {"d_in": d_in, "d_sae": d_sae, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True}
    # What SAELens recommends for each: sparse tensors pay only in f32, and BatchTopK has none.
    of_architecture = {
        "standard": {"l1_coefficient": arguments.sparsity, "l1_warm_up_steps": 0},
        "topk": {"k": arguments.top_k, "rescale_acts_by_decoder_norm": False, "use_sparse_activations": not arguments.bf16},
        "batchtopk": {"k": arguments.top_k, "rescale_acts_by_decoder_norm": False},
        "jumprelu": {
            "l0_coefficient": arguments.sparsity,
            "jumprelu_init_threshold": arguments.threshold,
            "jumprelu_bandwidth": arguments.bandwidth,
        },
        "gated": {"l1_coefficient": arguments.sparsity, "l1_warm_up_steps": 0},
    }
    sae_class, config_class = get_sae_training_class(arguments.architecture)
    sae = sae_class(config_class(**of_architecture[arguments.architecture], **common))
    with torch.no_grad():
        sae.W_dec.copy_(data["decoder"])
        sae.W_enc.copy_(data["decoder"].T)
        (sae.b_gate if arguments.architecture == "gated" else sae.b_enc).zero_()
        sae.b_dec.copy_(data["decoder_bias"])
    trainer = SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=arguments.batch * arguments.steps,
            train_batch_size_samples=arguments.batch,
            lr=arguments.learning_rate,
            lr_end=arguments.learning_rate,
            device="cpu",
            autocast=arguments.bf16,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae=sae,
        data_provider=iter(()),
    )
    seconds, losses = [], []
    for step in range(arguments.steps):
        start = time.perf_counter()
        output = trainer.step(batches[step % len(batches)])
        losses.append(output.loss.item())
        seconds.append(time.perf_counter() - start)
        trainer.n_training_steps += 1
    print(
        json.dumps(
            {
                "seconds_per_step": statistics.median(seconds[arguments.warm_up :]),
                "loss": statistics.fmean(losses[-arguments.last :]),
            }
        )
    )


if __name__ == "__main__":
    main()
