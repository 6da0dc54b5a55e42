"""The whole configuration: one section a concern, each declared beside the code that it steers."""

from __future__ import annotations

from typing import Literal

import msgspec

from lib.analyse.settings import AnalyseSettings
from lib.compress.settings import CompressSettings
from lib.critique.settings import CritiqueSettings
from lib.data.curation_settings import CurationSettings
from lib.data.settings import (
    AutomationSettings,
    CodeSettings,
    FixtureSettings,
    HeldOutSettings,
    ReasoningSettings,
)
from lib.distil.settings import DistilSettings
from lib.evaluate.jail.settings import JailSettings
from lib.evaluate.settings import EvaluateSettings
from lib.model.settings import ExportSettings, MergeSettings, StudentSettings
from lib.pipeline.limits import LimitSettings
from lib.pipeline.settings import RunSettings
from lib.teach.settings import TeachSettings
from lib.train.mix import MixSettings
from lib.train.settings import TrainSettings


class SourcesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`use` names the sources that are fetched; the sections of the others stay unread."""

    use: list[Literal["reasoning", "code", "automation", "heldout", "fixtures", "own", "hub"]]
    reasoning: ReasoningSettings
    code: CodeSettings
    automation: AutomationSettings
    heldout: HeldOutSettings
    fixtures: FixtureSettings

    @property
    def unseen_kinds(self) -> list[str]:
        """Patterns of the kinds that no used source is ever trained on, sorted."""
        used = [getattr(self, name) for name in self.use if name not in ("own", "hub", "heldout")]
        return sorted({kind for source in used for kind in source.unseen_kinds})


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every value of a profile, as config/*.toml give it."""

    run: RunSettings
    limits: LimitSettings
    sources: SourcesSettings
    curate: CurationSettings
    student: StudentSettings
    mix: MixSettings
    train: TrainSettings
    merge: MergeSettings
    export: ExportSettings
    evaluate: EvaluateSettings
    analyse: AnalyseSettings
    critique: CritiqueSettings
    teach: TeachSettings
    distil: DistilSettings
    compress: CompressSettings
    jail: JailSettings

    @property
    def control(self) -> TrainSettings:
        """How the format-only control is trained: as everything else, but around its few rows more often."""
        return msgspec.structs.replace(self.train, epochs=self.mix.control_epochs)

    @property
    def analyst(self) -> TeachSettings | None:
        """The teacher, where it is a model that can also judge answers and name clusters."""
        asked = self.analyse.model == "teacher" and self.teach.use in ("local", "claude")
        return self.teach if asked else None

    @property
    def distilled(self) -> TrainSettings:
        """How the tuned model is trained on what it got wrong."""
        return self.distil.train.over(self.train)

    @property
    def student_gates(self) -> tuple[str, ...]:
        """What the embedded student must prove; the others have no file to be held against."""
        names = ("student_weights_equal", "student_token_differences", "student_prose_loss_nats")
        return names if self.student.kind == "embedded" else ()
