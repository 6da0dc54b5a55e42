"""`make bench`: every benchmark, or the named ones, one after the other; last, each goal with its figure.

    make bench                  all of them
    make bench BENCH=runner     one
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.bench.findings import PROJECT, place, recall, table

BENCHES = ("runner", "phase0", "startup", "training", "evaluation", "layerwise")


def main(words: Sequence[str]) -> int:
    """1 when a goal is missed or a bench fails; 2 for an unknown name."""
    unknown = [word for word in words if word not in BENCHES]
    if unknown:
        print(f"no bench called {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    os.environ.pop("BENCH_OUT", None)  # one file cannot hold several benches
    failed, rows = False, []
    for name in words or BENCHES:
        print(f"\n== {name}", flush=True)
        place(name).unlink(missing_ok=True)  # an old figure must not stand in for a failed run
        code = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], cwd=PROJECT, check=False).returncode
        failed |= code != 0
        rows += _rows(name, code)
    print("\n" + table(("bench", "goal", "figure", "wanted", "met"), rows))
    return 1 if failed else 0


def _rows(name: str, code: int) -> list[tuple[str, str, str, str, str]]:
    """A line a goal; one line for a bench that left no figures."""
    try:
        goals, missing = recall(name)
    except FileNotFoundError:
        return [(name, "", f"failed with exit code {code}", "", "no")]
    wanted = [(goal, f"{'≥' if goal.at_least else '≤'} {goal.threshold:g}") for goal in goals]
    rows = [(name, goal.name, f"{goal.value:.4g}", limit, "yes" if goal.passed else "NO") for goal, limit in wanted]
    return rows + [(name, what, f"not measured: {reason}", "", "NO") for what, reason in missing.items()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
