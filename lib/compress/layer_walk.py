"""Walks a model layer by layer over calibration text: one layer's weights in memory, and every row's activations.

Whatever wants to see what goes into a linear layer (importance, errors of types, pruning) looks here, so an 8B model
needs no more memory than one of its layers and tokens × hidden numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lib.errors import ModelError
from lib.model import weights
from lib.progress import track

if TYPE_CHECKING:
    import torch

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
Observer = Callable[[str, "torch.Tensor"], None]
"""Called with the name of a weight and the rows [tokens, width] that it is multiplied with."""


class Walked(msgspec.Struct, frozen=True):
    """One decoder layer after all rows went through: its module in fp32, and each row before and after it.

    `apply` runs the layer as it is now on hidden states [1, tokens, hidden]: for errors after a change of weights.
    """

    index: int
    module: Any
    before: list[Any]
    after: list[Any]
    apply: Callable[[Any], Any]

    def linears(self) -> dict[str, Any]:
        """Name of the weight → linear module, in the model's order."""
        import torch

        found = self.module.named_modules()
        return {f"{self.prefix}{name}.weight": part for name, part in found if isinstance(part, torch.nn.Linear)}

    @property
    def prefix(self) -> str:
        """How the names of this layer's tensors begin."""
        return f"model.layers.{self.index}."


class Walk:
    """A Llama-family folder, opened for one walk: `layers` yields each layer, then `final` the head's input."""

    def __init__(self, folder: Path, sequences: Sequence[Sequence[int]], *, threads: int) -> None:
        """`sequences` are token ids, each looked at by itself; ModelError when there are none or no layers to walk."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        if not sequences:
            raise ModelError("The calibration split has no rows to look at: give it some, or raise rows.")
        torch.set_num_threads(threads)
        weights.config(folder)
        self._files = {entry.name: folder / entry.file for entry in weights.entries(folder)}
        config = AutoConfig.from_pretrained(folder, local_files_only=True, attn_implementation="sdpa")
        with torch.device("meta"):
            self._model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        if not hasattr(self._model.model, "layers"):
            raise ModelError(f"{folder} has no list of decoder layers: only models of Llama's build can be walked.")
        self._rotary = type(self._model.model.rotary_emb)(config)
        self._sequences = sequences
        self._rows: list[torch.Tensor] = []

    @property
    def tied(self) -> bool:
        """True when the embedding is the output head as well."""
        return bool(self._model.config.tie_word_embeddings)

    def tensor(self, name: str) -> torch.Tensor:
        """One stored weight in fp32."""
        from safetensors import safe_open

        if name not in self._files:
            raise ModelError(f"{name} is not among the model's weights: this is another architecture.")
        with safe_open(self._files[name], framework="pt") as stored:
            return stored.get_tensor(name).float()

    def layers(self, observe: Observer | None = None) -> Iterator[Walked]:
        """Every decoder layer in turn; `observe` sees the inputs of its linears while the rows go through."""
        import torch

        embedding = self.tensor(EMBEDDING)
        self._rows = [embedding[torch.tensor(ids)].unsqueeze(0) for ids in self._sequences]
        del embedding
        for index, layer in enumerate(track(self._model.model.layers, "layers", unit="layers")):
            walked = self._through(index, self._filled(layer, f"model.layers.{index}."), observe)
            yield walked
            self._rows = walked.after
            layer.to("meta")
            _release_freed_memory()

    def counts(self) -> torch.Tensor:
        """How often each token id occurs in the rows [vocabulary]."""
        import torch

        ids = torch.tensor([token for sequence in self._sequences for token in sequence])
        return torch.bincount(ids, minlength=self._model.config.vocab_size)

    def final(self) -> Iterator[torch.Tensor]:
        """What the head gets of each row [tokens, hidden]; only after all layers were walked."""
        import torch

        norm = self._filled(self._model.model.norm, "model.norm.")
        with torch.inference_mode():
            yield from (norm(row)[0] for row in self._rows)

    def _filled(self, module: torch.nn.Module, prefix: str) -> torch.nn.Module:
        import torch

        names = {name: f"{prefix}{name}" for name, _ in module.named_parameters()}
        filled = {name: torch.nn.Parameter(self.tensor(full), False) for name, full in names.items()}
        module.load_state_dict(filled, assign=True)
        return module

    def _through(self, index: int, layer: torch.nn.Module, observe: Observer | None) -> Walked:
        def apply(row: torch.Tensor) -> torch.Tensor:
            return self._apply(layer, row)

        walked = Walked(index, layer, self._rows, [], apply)
        with ExitStack() as hooks:
            for name, linear in walked.linears().items() if observe else ():
                handle = linear.register_forward_pre_hook(_seen(name, observe))
                hooks.callback(handle.remove)
            walked.after.extend(map(apply, self._rows))
        return walked

    def _apply(self, layer: torch.nn.Module, row: torch.Tensor) -> torch.Tensor:
        import torch

        positions = torch.arange(row.shape[1]).unsqueeze(0)
        with torch.inference_mode():
            turned = self._rotary(row, positions)
            return layer(row, position_ids=positions, position_embeddings=turned)


def _release_freed_memory() -> None:
    """Hand freed pages back, where the C library can (glibc's malloc_trim).

    A freed matrix leaves a gap just too small for the aligned one of the next layer: the process grew by half a layer
    with each layer (matrices up to 32 MB, which glibc keeps in its heap).
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _seen(name: str, observe: Observer) -> Callable[[Any, tuple[Any, ...]], None]:
    def hook(module: Any, args: tuple[Any, ...]) -> None:
        observe(name, args[0].reshape(-1, args[0].shape[-1]))

    return hook
