"""A GGUF file as a Hugging Face folder again: the weights that it really holds, for the engine that judged its parent.

llama.cpp's own arithmetic rounds activations, too, and reads prompts several times slower: the folder answers what the
rounding of the weights costs, by the parent's harness.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.compress.prune_folder import Copy
from lib.errors import ModelError
from lib.model import weights
from lib.model.gguf_export import check, name_map
from lib.progress import track

if TYPE_CHECKING:
    import torch


def dequantise(gguf: Path, like: Path, out: Path, name: str) -> dict[str, int]:
    """Write the weights in the file `gguf` to the folder `out`, in files and precision of the folder `like`.

    `like` is of the same architecture and lends configuration and tokenizer; its weights do not matter. Returns the
    number of `tensors`. Raises ModelError when the file lacks a tensor of the folder.
    """
    from gguf import GGUFReader

    config, stored = check(like), {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    names = name_map(config)
    copy, count = Copy(like, out), 0
    for entry in track(list(weights.entries(like)), "dequantise", unit="tensors"):
        if entry.name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        found = stored.get(names.get_name(entry.name, try_suffixes=(".weight",)) or "")
        if found is None:
            raise ModelError(f"{gguf} has no tensor for {entry.name}: it was made from another model.")
        copy.put(entry.name, _heads_in_halves(entry.name, _values(found), config))
        count += 1
    copy.finish(name)
    return {"tensors": count}


def from_ggml_rope(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The inverse of lib.model.gguf_export.to_ggml_rope: rows of q or k as transformers has them."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _values(tensor: Any) -> torch.Tensor:
    import gguf
    import numpy as np
    import torch

    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    shape = [int(width) for width in reversed(tensor.shape)]
    return torch.from_numpy(np.array(values, dtype=np.float32).reshape(shape))


def _heads_in_halves(name: str, weight: torch.Tensor, config: dict[str, Any]) -> torch.Tensor:
    if name.endswith("q_proj.weight"):
        return from_ggml_rope(weight, config["num_attention_heads"])
    if name.endswith("k_proj.weight"):
        return from_ggml_rope(weight, config["num_key_value_heads"])
    return weight
