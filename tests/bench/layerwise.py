"""Does phase 2 hold one layer at a time? `python -m tests.bench.layerwise`, on random models with 8 and 16 layers.

Every step that walks a model is run in a process of its own on both; its peak of resident memory may differ by less
than one layer in fp32. What one more layer costs in seconds, over its weights, is what an 8B model is reckoned from.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lib.result import Gate
from tests.bench.findings import PROJECT, publish, table
from tests.bench.timing import machine

KINDS = ["Q8_0", "Q5_0", "Q4_0", "IQ4_NL", "Q4_K", "Q5_K", "Q6_K", "Q3_K"]
VOCABULARY = 1024


class Shape(msgspec.Struct, frozen=True):
    """A random Llama, and the text that goes through it."""

    hidden: int = 2048
    inner: int = 5632
    layers: tuple[int, int] = (8, 16)
    rows: int = 4
    tokens: int = 64

    @property
    def layer_weights(self) -> int:
        """Weights of the seven linears of a layer; an eighth of the heads hold keys and values."""
        return 2 * self.hidden**2 + 2 * self.hidden * self.hidden // 8 + 3 * self.hidden * self.inner

    @property
    def text(self) -> list[list[int]]:
        """Token ids that repeat late."""
        return [[(7 * row + 13 * at + row * at) % VOCABULARY for at in range(self.tokens)] for row in range(self.rows)]


def make(folder: Path, shape: Shape, layers: int) -> None:
    """A model of bf16 weights drawn at random, in files of 500 MB."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from lib.model import identity

    torch.manual_seed(layers)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=shape.hidden, intermediate_size=shape.inner, num_hidden_layers=layers,
        num_attention_heads=shape.hidden // 64, num_key_value_heads=shape.hidden // 512, tie_word_embeddings=True,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size="500MB")
    identity.write(folder, name="random", revision="1", licence="none", source="random")


def _pruned(method: str) -> Callable[[Path, Path, Shape, int], None]:
    def run(model: Path, out: Path, shape: Shape, threads: int) -> None:
        from lib.compress.prune_allocation import uniform
        from lib.compress.prune_folder import sizes
        from lib.compress.prune_oneshot import prune
        from lib.compress.prune_settings import ShapeSettings, SparseGptSettings

        prune(
            model=model, out=out / "model", name=method, sequences=shape.text, zeros=uniform(sizes(model), 0.5),
            method=method, shape=ShapeSettings(share=0.5),  # type: ignore[arg-type]
            sparsegpt=SparseGptSettings(block_columns=128, damp=0.01), threads=threads,
        )  # fmt: skip

    return run


def _sensitivity(model: Path, out: Path, shape: Shape, threads: int) -> None:
    from lib.compress import prune_sensitivity

    prune_sensitivity.measure(model, shape.text, [0.25, 0.5, 0.65], threads=threads)


def _importance(model: Path, out: Path, shape: Shape, threads: int) -> None:
    from lib.compress.imatrix import collect

    collect(model, shape.text, head=True, threads=threads)


def _types(model: Path, out: Path, shape: Shape, threads: int) -> None:
    from lib.compress.mix_errors import measure

    measure(model, shape.text, kinds=KINDS, head_kinds=["Q8_0"], importance=None, threads=threads)


STEPS: dict[str, Callable[[Path, Path, Shape, int], None]] = {
    "sensitivity": _sensitivity,
    "magnitude": _pruned("magnitude"),
    "wanda": _pruned("wanda"),
    "sparsegpt": _pruned("sparsegpt"),
    "importance": _importance,
    "mix-errors": _types,
}


class Cost(msgspec.Struct, frozen=True):
    """What a step took of a process."""

    seconds: float
    peak_bytes: int


def child(what: str, shape: Shape, model: Path, out: Path, threads: int) -> Cost:
    """Do one step here, in a process that does nothing else."""
    begun = time.perf_counter()
    STEPS[what](model, out, shape, threads)
    return Cost(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def apart(what: str, shape: Shape, model: Path, layers: int) -> Cost:
    """The same in a process of its own; CalledProcessError, with its words on the terminal, when it fails."""
    order = json.dumps({"what": what, "shape": msgspec.to_builtins(shape), "model": str(model), "layers": layers})
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.layerwise", "--child", order],
        cwd=PROJECT, env=environ, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Cost)


def measure(folder: Path, shape: Shape, steps: Sequence[str]) -> dict[str, Any]:
    """Each step on both models: its growth in layers, and what a layer's weights cost in time."""
    few, many = shape.layers
    for layers in shape.layers:
        apart("make", shape, folder / str(layers), layers)
    goals, rows, found = [], [], {}
    for what in steps:
        costs = {layers: apart(what, shape, folder / str(layers), layers) for layers in shape.layers}
        found[what] = costs
        growth = (costs[many].peak_bytes - costs[few].peak_bytes) / (4 * shape.layer_weights)
        seconds = (costs[many].seconds - costs[few].seconds) / ((many - few) * shape.layer_weights)
        per_token = seconds / (shape.rows * shape.tokens)
        peaks = [f"{costs[layers].peak_bytes / 1e6:,.0f}" for layers in shape.layers]
        taken = [f"{costs[layers].seconds:.1f}" for layers in shape.layers]
        rows.append([what, *peaks, f"{growth:+.2f}", *taken, f"{1e9 * seconds:.1f}", f"{1e12 * per_token:.1f}"])
        goals.append(Gate(name=f"{what}_growth_layers", value=growth, threshold=1.0, at_least=False, n=many))
    head = ("step", f"peak MB, {few} layers", f"{many}", "growth in layers", f"seconds, {few}", f"{many}",
            "ns a weight", "ps a weight and token")  # fmt: skip
    print(f"a layer: {shape.layer_weights:,} weights, {4 * shape.layer_weights / 1e6:.0f} MB in fp32\n")
    print(table(head, rows))
    return {"goals": goals, "shape": shape, "costs": found}


def main(words: Sequence[str] = ()) -> int:
    """1 when the memory of a step grows with the layers."""
    parser = argparse.ArgumentParser(prog="tests.bench.layerwise", description=__doc__)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    if chosen.child:
        return _obey(json.loads(chosen.child))
    print(machine().line())
    with tempfile.TemporaryDirectory() as folder:
        return publish("layerwise", measure(Path(folder), Shape(), chosen.steps))


def _obey(order: dict[str, Any]) -> int:
    model, shape = Path(order["model"]), msgspec.convert(order["shape"], Shape)
    if order["what"] == "make":
        make(model, shape, order["layers"])
        cost = Cost(0.0, 0)
    else:
        with tempfile.TemporaryDirectory(dir=model.parent) as out:
            cost = child(order["what"], shape, model, Path(out), len(os.sched_getaffinity(0)))
    print(msgspec.json.encode(cost).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
