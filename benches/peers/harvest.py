"""The peer of the harvest benchmark: transformers on the first layers of a GGUF file, a turn for each line read.

Arguments: the file, how many layers, threads, seconds of a turn. Each line on standard input is a precision (f32 or bf16); the
answer is the tokens a second of one turn.
"""

import os
import pathlib
import sys
import time

path = pathlib.Path(sys.argv[1]).resolve()
layers, threads, seconds = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
os.environ["OMP_NUM_THREADS"] = str(threads)
os.environ["TQDM_DISABLE"] = "1"

import torch  # noqa: E402
import transformers  # noqa: E402

torch.set_num_threads(threads)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
models = {}
tokens = (torch.arange(8 * 256) * 7919 % 49_152).view(8, 256)


def load(precision):
    """The first layers in `precision`, without head and last norm."""
    if precision not in models:
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        # Unpacked once: by default transformers 5 keeps the blocks and unpacks them in every product, which is slower.
        unpacked = {}
        if hasattr(transformers, "GgufConfig"):
            unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
        whole = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=dtype,
            **unpacked,
        )
        model = whole.model.eval()
        model.layers = model.layers[:layers]
        model.norm = torch.nn.Identity()
        models[precision] = model
    return models[precision]


with torch.no_grad():
    for line in sys.stdin:
        model = load(line.strip())
        model(input_ids=tokens, use_cache=False)
        start = time.perf_counter()
        batches = 0
        while time.perf_counter() - start < seconds:
            model(input_ids=tokens, use_cache=False)
            batches += 1
        print(batches * tokens.numel() / (time.perf_counter() - start), flush=True)
