"""Generated puzzles: verified references, equal rows whatever the hash seed, shares kept, equal puzzles recognised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from source_fixtures import Rejects, reasoning_settings

from lib.data.rows import content_id
from lib.data.settings import ReasoningSettings
from lib.data.sources import reasoning
from lib.errors import ConfigError

ROOT = Path(__file__).parents[2]
NOWHERE = Path("unused")


def _base() -> ReasoningSettings:
    """The shipped families, 62 rows and more: one at least of every level."""
    path = ROOT / "config" / "base.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "reasoning" not in table.get("sources", {}):
        pytest.skip("config/base.toml has no [sources.reasoning]")
    return msgspec.convert({**table["sources"]["reasoning"], "rows": 400}, ReasoningSettings)


def test_rows_are_complete_and_pass_their_own_verifier() -> None:
    import reasoning_gym

    rejects = Rejects()
    rows = list(reasoning.rows(reasoning_settings(), NOWHERE, 1, rejects))
    assert len(rows) + len(rejects) == 30
    for row in rows:
        assert row.verifier is not None and row.verifier.kind == "reasoning_gym"
        data = json.loads(json.dumps(row.verifier.data))
        assert reasoning_gym.get_score_answer_fn(data["dataset"])(answer=row.answer, entry=data["entry"]) == 1.0
        assert row.id == content_id(row.messages, row.verifier)
        assert row.generated and row.instance and row.group == row.instance
        assert row.licence == "Apache-2.0" and row.source == f"reasoning_gym/{data['dataset']}"
        assert [message.role for message in row.messages] == ["system", "user", "assistant"]


def test_levels_and_weights_decide_the_counts() -> None:
    rows = list(reasoning.rows(reasoning_settings(), NOWHERE, 1, Rejects()))
    counts = Counter((row.source, row.provenance["difficulty"]) for row in rows)
    assert counts["reasoning_gym/chain_sum", "0"] == counts["reasoning_gym/chain_sum", "1"] == 6
    assert counts["reasoning_gym/needle_haystack", "0"] == 12
    assert counts["reasoning_gym/lcm", "0"] == 6


def test_equal_seeds_equal_rows_and_other_seeds_other_rows() -> None:
    first, again, other = (
        [row.id for row in reasoning.rows(reasoning_settings(), NOWHERE, seed, Rejects())] for seed in (3, 3, 4)
    )
    assert first == again and first != other


def test_more_rows_only_append_within_a_level() -> None:
    few = [row for row in reasoning.rows(reasoning_settings(), NOWHERE, 3, Rejects()) if row.source.endswith("/lcm")]
    many = reasoning.rows(reasoning_settings(rows=60), NOWHERE, 3, Rejects())
    more = [row for row in many if row.source.endswith("/lcm")]
    assert [row.id for row in few] == [row.id for row in more[: len(few)]] and len(more) == 2 * len(few)


def test_a_family_above_its_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="40.0% of the rows, allowed are 30%"):
        reasoning.check(reasoning_settings(max_family_share=0.3))


def test_an_unseen_kind_that_nobody_generates_is_refused() -> None:
    with pytest.raises(ConfigError, match="reasoning_gym/lcmm"):
        reasoning.check(reasoning_settings(unseen_kinds=["reasoning_gym/lcmm"]))


def test_a_reference_that_fails_its_verifier_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    import reasoning_gym

    monkeypatch.setattr(reasoning_gym, "get_score_answer_fn", lambda name: lambda answer, entry: 0.5)
    rejects = Rejects()
    assert list(reasoning.rows(reasoning_settings(), NOWHERE, 1, rejects)) == []
    assert rejects.reasons == {"the reference fails its verifier"} and len(rejects) == 30


def test_instances_ignore_wording_and_level_but_not_content() -> None:
    def entry(question: str, answer: str, **metadata: object) -> dict[str, object]:
        return {"question": question, "answer": answer, "metadata": metadata}

    one = reasoning.instance("simple_equations", entry("Solve 2*x = 4", "2", equation="2*x = 4", num_terms=2))
    reworded = reasoning.instance("simple_equations", entry("Find x in 2*x = 4", "2", equation="2*x = 4", num_terms=3))
    other = reasoning.instance("simple_equations", entry("Solve 2*x = 6", "3", equation="2*x = 6", num_terms=2))
    assert one == reworded != other


def test_equal_questions_are_equal_instances_in_the_shipped_families() -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    for row in reasoning.rows(_base(), NOWHERE, 1, Rejects()):
        meanings.setdefault((row.source, row.messages[1].content), set()).add(row.instance)
    assert [key for key, found in meanings.items() if len(found) > 1] == []


def test_the_shipped_families_meet_the_plan() -> None:
    settings = _base()
    reasoning.check(settings)
    assert len(settings.families) >= 15 and settings.max_family_share <= 0.1
    assert len(settings.unseen_kinds) >= 5
    assert sum(len(family.levels) > 1 for family in settings.families.values()) >= 15


_DIGEST = """
import hashlib, pathlib, sys, msgspec
from lib.data.settings import ReasoningSettings
from lib.data.sources import reasoning
settings = msgspec.json.decode(sys.stdin.buffer.read(), type=ReasoningSettings)
rows = list(reasoning.rows(settings, pathlib.Path("unused"), 1, lambda reject: None))
print(len(rows), hashlib.sha256(msgspec.json.encode(rows)).hexdigest())
"""


def test_the_shipped_families_depend_on_neither_hash_seed_nor_day() -> None:
    body = msgspec.json.encode(_base())
    digests = set()
    for seed, zone in (("1", "Etc/GMT+12"), ("2", "Pacific/Kiritimati")):  # 26 hours apart: never the same day
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", _DIGEST], input=body, capture_output=True, env=environment, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1
