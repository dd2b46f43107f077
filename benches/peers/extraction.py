"""The peer of the extraction benchmark: transformers and torch.topk, the plain way.

Arguments: the GGUF file, tokens.bin, the autoencoder's directory, how many layers, threads, sequences, examples of each latent, tokens on
either side, sequences of a batch. Prints a JSON object: seconds of the pass, tokens a second, peak resident bytes (`VmHWM`), and the sums of what
was found.

For each batch: the first layers, all latents, how many tokens activate each, its maximum, and for each latent the strongest token of
each sequence, merged with the best so far by topk, windows included.
"""

import json
import pathlib
import struct
import sys
import time

gguf, tokens_file, autoencoder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
layers, threads, sequences, top_k, context, batch = (int(argument) for argument in sys.argv[4:10])

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

torch.set_num_threads(threads)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

header = tokens_file.read_bytes()[:64]
width, length = struct.unpack_from("<II", header, 12)
separator = struct.unpack_from("<I", header, 28)[0]
has_bos = struct.unpack_from("<I", header, 24)[0] != 0xFFFF_FFFF
dtype = {2: torch.uint16, 4: torch.int32}[width]
data = torch.frombuffer(bytearray(tokens_file.read_bytes()[64:]), dtype=dtype).view(-1, length)[:sequences].long()

unpacked = {}
if hasattr(transformers, "GgufConfig"):
    unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
whole = transformers.AutoModelForCausalLM.from_pretrained(
    gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, **unpacked
)
model = whole.model.eval()
model.layers = model.layers[:layers]
model.norm = torch.nn.Identity()
weights = load_file(autoencoder / "sae_weights.safetensors")
latents = weights["W_dec"].shape[0]


def main():
    count = torch.zeros(latents, dtype=torch.int64)
    maximum = torch.zeros(latents)
    best = torch.full((top_k, latents), -1.0)
    windows = torch.zeros(top_k, latents, 2 * context + 1)
    places = torch.zeros(top_k, latents, 2, dtype=torch.int64)
    around = torch.arange(-context, context + 1)
    seen = 0
    for first in range(0, len(data), batch):
        tokens = data[first : first + batch]
        text = tokens != separator
        if has_bos:
            text[:, 0] = False
        hidden = model(input_ids=tokens, use_cache=False).last_hidden_state.float()
        active = torch.relu((hidden - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
        active = active * text[..., None]
        seen += int(text.sum())
        count += (active > 0).sum((0, 1))
        strongest, position = active.max(1)
        maximum = torch.maximum(maximum, strongest.amax(0))
        # The windows of each sequence's strongest token: [batch, latents, tokens].
        at = position[..., None] + around
        inside = (at >= 0) & (at < length)
        at = at.clamp(0, length - 1)
        window = active.transpose(1, 2).gather(2, at) * inside
        place = torch.stack((torch.arange(first, first + len(tokens))[:, None].expand_as(position), position), 2)
        merged = torch.cat((best, strongest))
        best, kept = merged.topk(top_k, 0)
        merged_windows = torch.cat((windows, window))
        windows = merged_windows.gather(0, kept[..., None].expand(-1, -1, window.shape[2]))
        places = torch.cat((places, place)).gather(0, kept[..., None].expand(-1, -1, 2))
    return seen, count, maximum, best


with torch.no_grad():
    model(input_ids=data[:batch], use_cache=False)
    start = time.perf_counter()
    seen, count, maximum, best = main()
    seconds = time.perf_counter() - start

status = pathlib.Path("/proc/self/status").read_text()
peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
print(
    json.dumps(
        {
            "seconds": seconds,
            "tokens_per_second": seen / seconds,
            "peak_bytes": int(peak.split()[1]) * 1024,
            "tokens": seen,
            "active": int(count.sum()),
            "maximum": float(maximum.mean()),
            "strongest": float(best.clamp(min=0).mean()),
        }
    )
)
