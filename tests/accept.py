"""`make accept`: what a user relies on, tried with the real `doit` on a copy of the project and of a finished root.

    make accept                   the smoke profile (built first if it is not finished)
    PROFILE=cpu make accept       the same checks on the real model; re-trains several times

Nothing in the checkout or its artifacts is touched. The last line is "N passed, N failed".
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lib.pipeline import config
from lib.settings import Config

HERE = Path(__file__).resolve().parents[1]
TRAIN, MERGE = "phase1a_base_training:train", "phase1a_base_training:merge/tuned"
TEACHING = "phase1c_targeted_distillation"
COMPRESSING, SHAPE = "phase2_compress", "50"
NO_OP_SECONDS = 0.5


class Copy:
    """A project and its artifact root, copied aside, in which doit is run like a user would."""

    def __init__(self, base: Path, root: Path) -> None:
        self.project, self.root = base / "project", base / "root"
        self.local = base / "local.toml"
        shutil.copytree(HERE, self.project, ignore=shutil.ignore_patterns(".venv", "artifacts", ".git", "__pycache__"))
        subprocess.run(["cp", "-a", str(root), str(self.root)], check=True)
        self.environment = {
            **os.environ, "ARTIFACTS": str(self.root), "PYTHONPATH": str(self.project), "CONFIG_LOCAL": "",
        }  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """doit in the copy, its output piped."""
        command = [sys.executable, "-m", "doit", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.project, env=self.environment, **pipes)

    def doit(self, *arguments: str) -> str:
        """doit's output; it must succeed."""
        process = self.start(*arguments)
        out, _ = process.communicate()
        assert process.returncode == 0, f"doit {' '.join(arguments)} exited {process.returncode}:\n{out[-2000:]}"
        return out

    def plan(self) -> dict[str, set[str]]:
        """The steps of each verdict."""
        found: dict[str, set[str]] = {"run": set(), "may run": set(), "same": set(), "blocked": set()}
        for line in self.doit("plan").splitlines():
            if match := re.match(r"(run|may run|same|blocked)\s+(phase\S+)", line):
                found[match[1]].add(match[2])
        return found

    def learning_rate(self, factor: float, more: str = "") -> None:
        """Edit the learning rate in the user's own configuration file, near the profile's: a model must still learn."""
        choice = config.choose(self.environment, self.project / "config")
        usual = config.load(Config, choice, self.project / "config").train.lr
        self.local.write_text(f"[train]\nlr = {factor * usual}\n{more}")
        self.environment["CONFIG_LOCAL"] = str(self.local)

    def teaching_rate(self, factor: float) -> None:
        """Edit the learning rate of phase 1D alone."""
        choice = config.choose(self.environment, self.project / "config")
        usual = config.load(Config, choice, self.project / "config").distil.train.lr
        self.local.write_text(f"[distil.train]\nlr = {factor * usual}\n")
        self.environment["CONFIG_LOCAL"] = str(self.local)

    def sparsity(self, change: float) -> None:
        """Edit the share of zeros of one shape of pruning."""
        choice = config.choose(self.environment, self.project / "config")
        usual = config.load(Config, choice, self.project / "config").compress.prune.shapes[SHAPE].share
        self.local.write_text(f"[compress.prune.shapes.{SHAPE}]\nshare = {usual + change}\n")
        self.environment["CONFIG_LOCAL"] = str(self.local)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, in a source file."""
        path = self.project / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1))


def started(output: str) -> set[str]:
    """The steps that a run's output says were started."""
    return set(re.findall(r"^run\s+(phase\S+)", output, re.MULTILINE))


def nothing_to_do(copy: Copy) -> str:
    """`doit` again does nothing in under half a second."""
    copy.doit()  # the copy's files have new inodes: the first look renews the locks' records
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        assert not started(copy.doit()), "a second run started steps"
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < NO_OP_SECONDS, f"a no-op took {min(seconds):.2f} s"
    return f"{min(seconds):.2f} s"


def learning_rate(copy: Copy) -> str:
    """An edited learning rate runs what the plan said, and nothing else."""
    copy.learning_rate(1.1)
    plan = copy.plan()
    assert TRAIN in plan["run"], plan
    ran = started(copy.doit())
    assert plan["run"] <= ran, f"planned but not run: {plan['run'] - ran}"
    assert ran <= plan["run"] | plan["may run"], f"run but not planned: {ran - plan['run'] - plan['may run']}"
    return f"{len(plan['run'])} planned, {len(ran)} ran of {len(plan['may run'])} more that might"


def teaching_rate(copy: Copy) -> str:
    """An edited learning rate of phase 1D trains its three models again; phases 1A and 1B stay as they are."""
    copy.teaching_rate(1.1)
    plan = copy.plan()
    assert plan["run"] == {f"{TEACHING}:train/{name}" for name in ("targeted", "control", "second")}, plan["run"]
    ran = started(copy.doit())
    assert plan["run"] <= ran <= plan["run"] | plan["may run"], f"run but not planned: {ran - plan['run']}"
    assert all(step.startswith((f"{TEACHING}:", COMPRESSING)) for step in ran), f"earlier phases ran: {ran}"
    assert not ran & {f"{TEACHING}:{name}" for name in ("critique", "teach", "draw")}, f"rows were made anew: {ran}"
    return f"{len(plan['run'])} planned, {len(ran)} ran of {len(plan['may run'])} more that might"


def one_variant(copy: Copy) -> str:
    """An edited share of zeros prunes that shape again, and what is made of it; every other variant stays as it is."""
    copy.sparsity(-0.02)
    plan = copy.plan()
    pruned = {step for step in plan["run"] if ":prune/" in step}
    assert plan["run"] == pruned and pruned, f"planned: {plan['run'] - pruned}"
    assert all(step.endswith(f"-{SHAPE}") for step in pruned), f"another variant was planned: {pruned}"
    ran = started(copy.doit())
    assert pruned <= ran <= plan["run"] | plan["may run"], f"run but not planned: {ran - plan['run']}"
    assert {f"{COMPRESSING}:best/{SHAPE}", f"{COMPRESSING}:frontier"} <= ran, f"what follows did not run: {ran}"
    kept = {"parent", "importance/dense", "grid", "mix-errors", "awq/dense", "gguf/q8_0", "gguf/mix-0", "ask"}
    assert not ran & {f"{COMPRESSING}:{name}" for name in kept}, f"what has nothing to do with it ran: {ran}"
    assert not {step for step in ran if ":prune/" in step} - pruned, f"another variant ran: {ran}"
    return f"{len(pruned)} planned, {len(ran)} ran of {len(plan['same'])} that stayed"


def comment(copy: Copy) -> str:
    """A comment re-runs nothing."""
    for file in ("lib/train/loop.py", "tasks/phase1a_base_training.py", "dodo.py"):
        copy.edit(file, "\nfrom __future__" if file != "dodo.py" else "\nfrom lib", "\n# a comment\nfrom lib"
                  if file == "dodo.py" else "\n# a comment\nfrom __future__")  # fmt: skip
    assert not started(copy.doit()), "a comment started steps"
    return "3 files"


def one_function(copy: Copy) -> str:
    """An edit in one step's function runs that step and at most what follows from it."""
    source = (copy.project / "tasks/phase1a_base_training.py").read_text()
    head = re.search(r"def merge\(.*?\) -> Result:\n(    \"\"\".*?\"\"\"\n)", source, re.DOTALL)
    assert head, "tasks/phase1a_base_training.py has no merge"
    copy.edit("tasks/phase1a_base_training.py", head[0], head[0] + "    _ = 0\n")
    plan = copy.plan()
    merges = {step for step in plan["run"] if ":merge/" in step}  # later phases merge by the same function
    assert plan["run"] == merges and merges, f"planned: {plan['run']}"
    ran = started(copy.doit())
    assert ran == merges, f"equal bytes should have stopped the cascade: {ran}"
    return f"{len(ran)} ran, equal bytes stopped the rest"


def _damaged(copy: Copy, damage: Callable[[Path], None]) -> None:
    damage(copy.root / "phase1a/merge/tuned/model/model.safetensors")
    ran = started(copy.doit())
    assert ran == {MERGE}, f"ran {ran}"


def deleted(copy: Copy) -> str:
    """A deleted output is made again."""
    _damaged(copy, lambda path: path.unlink())
    return MERGE


def truncated(copy: Copy) -> str:
    """A truncated output is made again."""
    _damaged(copy, lambda path: os.truncate(path, path.stat().st_size // 2))
    return MERGE


def flipped(copy: Copy) -> str:
    """One flipped bit, size and mtime as before, is found and the output made again."""

    def flip(path: Path) -> None:
        before = path.stat()
        with path.open("r+b") as stream:
            stream.seek(before.st_size // 2)
            byte = stream.read(1)[0]
            stream.seek(before.st_size // 2)
            stream.write(bytes([byte ^ 1]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    _damaged(copy, flip)
    return MERGE


def killed(copy: Copy) -> str:
    """kill -9 during training: the next doit continues from the checkpoint and repeats no finished step."""
    copy.learning_rate(0.9, "save_every = 1\n")
    process = copy.start()
    checkpoints = copy.root / ".work/phase1a/train"
    deadline = time.monotonic() + 600
    while not list(checkpoints.glob("scratch/step-[0-9]*[0-9]/*.safetensors")):  # not step-….part, half written
        assert process.poll() is None, f"doit ended before a checkpoint:\n{process.stdout.read()[-2000:]}"
        assert time.monotonic() < deadline, "no checkpoint within 10 minutes"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    first, _ = process.communicate()
    ran = started(copy.doit())
    assert TRAIN in ran, "the killed step did not run again"
    assert not (started(first) - {TRAIN}) & ran, f"finished steps ran again: {(started(first) - {TRAIN}) & ran}"
    log = (copy.root / ".runs/phase1a/train/log.txt").read_text()
    first_step = re.search(r"^train (\d+) of \d+ steps", log, re.MULTILINE)
    assert first_step and int(first_step[1]) > 1, f"training began anew:\n{log[-800:]}"
    return f"continued at step {first_step[1]}"


def two_at_once(copy: Copy) -> str:
    """Of two runs over one root, one refuses."""
    copy.learning_rate(1.05)
    first = copy.start()
    while first.poll() is None and not (copy.root / ".work/phase1a/train").exists():
        time.sleep(0.05)
    second = copy.start()
    out, _ = second.communicate()
    first.kill()
    first.communicate()
    assert second.returncode != 0, f"the second run went ahead:\n{out[-800:]}"
    return next(line.strip() for line in out.splitlines() if line.strip())[:100]


def clean(copy: Copy) -> str:
    """`doit clean phase1a_base_training` removes only that."""
    copy.doit("clean", "phase1a_base_training")
    left = {path.name for path in copy.root.iterdir() if not path.name.startswith(".")}
    assert "phase0" in left and "phase1a" not in left, left
    plan = copy.plan()
    assert all(step.startswith("phase1a") for step in plan["run"]) and plan["run"], plan["run"]
    assert not any(step.startswith("phase1a") for step in plan["same"]), plan["same"]
    return f"left: {', '.join(sorted(left))}"


CHECKS = (
    nothing_to_do,
    comment,
    one_function,
    deleted,
    truncated,
    flipped,
    learning_rate,
    teaching_rate,
    one_variant,
    killed,
    two_at_once,
    clean,
)


def main() -> int:
    """Run every check on a fresh copy; 1 if one failed."""
    profile = os.environ.setdefault("PROFILE", "smoke")
    usual = HERE / "artifacts" / ("" if profile == "cpu" else f"profiles/{profile}")
    root = Path(os.environ.get("ARTIFACTS") or usual)
    build = [sys.executable, "-m", "doit"]
    subprocess.run(build, cwd=HERE, check=True, env={**os.environ, "ARTIFACTS": str(root)})
    failures = 0
    for check in CHECKS:
        with tempfile.TemporaryDirectory(prefix="accept-") as folder:
            try:
                word, note = "ok  ", check(Copy(Path(folder), root))
            except AssertionError as error:
                word, note, failures = "FAIL", str(error), failures + 1
        print(f"{word}  {check.__doc__.splitlines()[0]}  [{note}]", flush=True)
    print(f"{len(CHECKS) - failures} passed, {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
