"""Which files there are, and configurations that name what is not there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lib.compress.settings import CompressSettings
from lib.errors import ConfigError
from lib.pipeline import config
from lib.settings import Config

CONFIG = Path(__file__).parents[2] / "config"


def section(overrides: str = "", profile: str = "cpu") -> CompressSettings:
    environ = {"PROFILE": profile, "CONFIG_LOCAL": "", "SET": overrides}
    return config.load(Config, config.choose(environ, CONFIG), CONFIG).compress


@pytest.mark.parametrize("profile", config.PROFILES)
def test_every_file_has_a_step_of_its_own(profile: str) -> None:
    found = section(profile=profile)
    steps = [each.step for each in found.candidates]
    assert len(set(steps)) == len(steps) and all(step == step.lower() for step in steps)
    assert {name for name, _, _ in found.packed} <= {each.name for each in found.candidates}
    assert found.files.recovered in {each.name for each in found.candidates}


def test_shapes_of_one_share_are_one_family_and_stages_belong_to_theirs() -> None:
    families = section().prune.families
    assert list(families) == ["2of4", "50", "65"]  # "65s" is 65 % as well, and 2:4 is not 50 % anywhere
    assert families["65"] == ["magnitude-65", "wanda-65", "sparsegpt-65", "sparsegpt-65s", "gradual"]
    assert list(section().prune.staged.methods) == ["magnitude-65", "wanda-65", "sparsegpt-65"]


def test_a_shapes_share_changes_what_that_shape_is_made_by_and_nothing_else() -> None:
    old, new = section().prune.one_shots, section("compress.prune.shapes.50.share=0.45").prune.one_shots
    assert [name for name in old if old[name] != new[name]] == ["magnitude-50", "wanda-50", "sparsegpt-50"]


def test_only_some_files_are_packed_in_all_ways() -> None:
    found = section()
    assert list(found.packing("Q8_0").variants) == list(found.pack.variants)
    assert list(found.packing("50-Q4_0").variants) == ["zstd-10", "split-1"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('compress.files.pruned=["70"]', "there are 2of4, 50, 65"),
        ('compress.files.awq=["51"]', "names '51'"),
        ('compress.files.ways=["zip"]', "names 'zip'"),
        ('compress.files.ways=["zstd-10"]', "lacks compress.pack.chosen"),
        ('compress.files.packed_fully=["Q2_K"]', "names 'Q2_K'"),
        ("compress.files.recovered=Q2_K", "names 'Q2_K'"),
        ('compress.files.pruned_types=["Q2_K"]', "names 'Q2_K'"),
        ('compress.types.with_importance=["Q2_K"]', "names 'Q2_K'"),
        ("compress.frontier.mobile_of=Q2_K", "names 'Q2_K'"),
        ('compress.files.awq=["50"]', 'add "dense"'),
    ],
)
def test_what_is_not_there_is_refused_by_its_key(wrong: str, said: str) -> None:
    with pytest.raises((ConfigError, msgspec.ValidationError), match=said):
        section(wrong)
