"""The sides of the runner bench, built and checked: our kit, and rivals on graphs of the same files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.runner_tools import Side, doit, dvc, make, snakemake
from tests.bench.shapes import DOIT, Node, Ours


def kit(ours: Ours) -> Side:
    """This project's own kit."""
    commands = {"no-op": [str(DOIT)], "list": [str(DOIT), "list"], "plan": [str(DOIT), "plan"]}
    return Side(name="doit with our kit", project=ours.project, data=ours.root, environ=ours.environ, commands=commands)


def others(nodes: Sequence[Node], store: Path, folder: Path) -> dict[str, Callable[[], Side]]:
    """What makes and builds each rival's project; a call raises rivals.NotHere or RuntimeError where that fails.

    A step that reads nothing depends on its script: DVC runs a stage without dependencies every time.
    """
    nodes = [Node(node.name, node.reads or [f"steps/{node.name}.sh"], node.writes) for node in nodes]
    makers = {"make": make, "doit": doit, "dvc": dvc, "snakemake": snakemake}

    def built(name: str) -> Side:
        side = makers[name](nodes, _project(nodes, store, folder / name))
        _build(side)
        return side

    return {name: (lambda name=name: built(name)) for name in makers}


def _project(nodes: Sequence[Node], store: Path, folder: Path) -> Path:
    """A folder with the sources, and a script for each step that puts its files in place."""
    (folder / "steps").mkdir(parents=True)
    shutil.copytree(store, folder / "store")
    shutil.copytree(store / "source", folder / "source")
    for node in nodes:
        parents = sorted({os.path.dirname(path) for path in node.writes})
        lines = [f"mkdir -p {parent}" for parent in parents] + [f"cp store/{path} {path}" for path in node.writes]
        (folder / "steps" / f"{node.name}.sh").write_text("\n".join(["set -e", *lines, ""]), encoding="utf-8")
    (folder / "nodes.json").write_text(json.dumps([[node.name, node.reads, node.writes] for node in nodes]))
    return folder


def _build(side: Side, limit_s: float = 300) -> None:
    """Run everything once, and see that a second run touches nothing; nor does the first where all is there."""
    for _ in range(2):
        before = side.stamps()
        words = side.commands["no-op"]
        try:
            done = subprocess.run(
                words, cwd=side.project, env=side.environ, capture_output=True, text=True, check=False, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not built after {limit_s:.0f} s") from None
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr).strip()[-300:] or "no message")
        if before and before != side.stamps():
            raise RuntimeError("a second run writes again: this is no no-op")
