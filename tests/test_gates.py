"""Every gate that a step declares is shown to fail on what it is there for, and a gate without such a case fails here.

Most cases take the finished smoke root, break one input of the step that declares the gate and run the step's own
function. The embedded student's gates are held against the smoke student instead, exported and damaged.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from smoke_run import Smoke, dodo, tasks

from lib.data import jsonl
from lib.data.rows import Message, Row, Verifier, identified
from lib.evaluate.results import Results, read_results, write_results
from lib.pipeline.config import PROFILES
from lib.pipeline.graph import Graph
from lib.result import Gate

Broken = Callable[["Case"], list[Gate]]
BROKEN: dict[str, Broken] = {}
VERIFY, COMPARE, PARITY = "phase0_dataset:verify", "phase1a_base_training:compare", "phase1a_base_training:parity"
SAMPLE, JUDGE = "phase1b_failure_analysis:sample", "phase1b_failure_analysis:judge"
PHASE1D = "phase1c_targeted_distillation"
TEACH, DRAW, DISTILLED = f"{PHASE1D}:teach", f"{PHASE1D}:draw", f"{PHASE1D}:compare"
PHASE2 = "phase2_compress"
PRUNED, MIXED, AWQ, TRACE = (f"{PHASE2}:{name}" for name in ("prune/magnitude-50", "gguf/mix-0", "awq/dense", "trace"))
CHECKED = [
    VERIFY, COMPARE, PARITY, SAMPLE, JUDGE, TEACH, DRAW, DISTILLED, PRUNED, MIXED, TRACE,
    *(f"{PHASE2}:{name}" for name in ("divide", "importance/awq", "gguf/q4_0", "unpack/q8_0", "recover/merged")),
]  # fmt: skip
"""Steps whose own function is called once more on what is whole."""


def breaks(*gates: str) -> Callable[[Broken], Broken]:
    """Register a case in which the named gates fail."""

    def register(case: Broken) -> Broken:
        BROKEN.update(dict.fromkeys(gates, case))
        return case

    return register


class Case:
    """The steps of a finished smoke root, and a folder for what a case breaks."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        self.graph, self.folder = graph, folder

    def inputs(self, name: str) -> dict[str, Any]:
        """What a step reads, as its function gets it."""
        step = self.graph[name]
        found = self.graph.inputs(step)
        return {key: found[key][0] if isinstance(ref, str | Path) else found[key] for key, ref in step.reads.items()}

    def run(self, name: str, **changed: Any) -> list[Gate]:
        """The gates of a step's own function, called with `changed` inputs or parameters."""
        step = self.graph[name]
        module, _, function = step.run.partition(":")
        call = getattr(importlib.import_module(module), function)
        taken = {"work": self.folder / "work", "cache": self.graph.cache}
        kit = {key: path for key, path in taken.items() if key in call.__annotations__}
        written = {key: self.folder / path for key, path in step.writes.items()}
        (self.folder / "work").mkdir(exist_ok=True)
        return list(call(**{**self.inputs(name), **written, **step.params, **kit, **changed}).gates)

    def verify(self, train: Callable[[list[Row]], Iterable[Row]], *, answers: int = 1) -> list[Gate]:
        """The last step of phase 0 on training rows that `train` has changed; few reference answers unless told."""
        first, *others = self.inputs(VERIFY)["learnt"]
        changed = self.folder / first.name
        jsonl.write(changed, train(list(jsonl.read(first, Row))))
        settings = msgspec.structs.replace(self.graph[VERIFY].params["settings"], answer_sample=answers)
        return self.run(VERIFY, learnt=[changed, *others], settings=settings)

    def test_rows(self) -> list[Row]:
        """The rows that models are evaluated on."""
        return list(jsonl.read(self.inputs(COMPARE)["rows"], Row))

    def results(self, path: Path, **changes: Any) -> Path:
        """A copy of a results file, every row changed."""
        old = read_results(path)
        new = self.folder / f"{path.parent.name}.jsonl"
        write_results(new, Results(old.harness, [msgspec.structs.replace(row, **changes) for row in old.rows]))
        return new


@pytest.fixture
def case(smoke: Smoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Case:
    module = dodo(monkeypatch, "smoke", smoke.root)
    assert len(list(tasks(module))) > 20
    return Case(module.pipeline.graph, tmp_path)


def written(question: str, answer: str) -> Row:
    """A row of prose."""
    messages = [Message("user", question), Message("assistant", answer)]
    return identified(Row(messages=messages, source="web/prose", licence="CC0-1.0", domain="general"))


# Phase 0


@breaks("rows_unaccounted")
def a_row_is_lost(case: Case) -> list[Gate]:
    return case.verify(lambda rows: rows[:-1])


@breaks("schema_faults")
def a_licence_is_missing(case: Case) -> list[Gate]:
    return case.verify(lambda rows: [msgspec.structs.replace(rows[0], licence=""), *rows[1:]])


@breaks("exact_duplicates")
def a_row_stands_twice(case: Case) -> list[Gate]:
    return case.verify(lambda rows: [*rows, rows[0]])


@breaks("near_duplicate_share")
def a_row_stands_twice_but_for_a_word(case: Case) -> list[Gate]:
    text = "The mill by the river grinds rye in autumn and wheat in spring, and the miller keeps a tally of every sack."
    return case.verify(lambda rows: [*rows, written(text, "Yes."), written(text.replace("rye", "oats"), "Yes.")])


@breaks("overlap_rows", "straddling_id", "straddling_group", "straddling_text", "straddling_prompt")
def a_test_row_is_trained_on(case: Case) -> list[Gate]:
    return case.verify(lambda rows: [*rows, *case.test_rows()])


@breaks("not_english_share")
def rows_are_german(case: Case) -> list[Gate]:
    said = "Können Sie mir bitte sagen, wie das Wetter morgen im Norden des Landes wird, und ob es am Abend regnet?"
    return case.verify(lambda rows: [*rows, *(written(f"{said} {n}", said) for n in range(20))])


@breaks("references_failed")
def reference_answers_are_wrong(case: Case) -> list[Gate]:
    def spoilt(row: Row) -> Row:
        messages = [*row.messages[:-1], Message("assistant", "no such answer")]
        return identified(msgspec.structs.replace(row, messages=messages))

    return case.verify(lambda rows: map(spoilt, rows), answers=50)


# Phase 1A


@breaks("student_weights_equal", "student_token_differences", "student_prose_loss_nats")
def the_student_is_not_what_its_file_says(case: Case) -> list[Gate]:
    from safetensors.torch import load_file, save_file

    from lib.model.chat import Chat
    from lib.model.gguf_export import export
    from lib.model.student_check import check_student

    student = case.inputs(PARITY)["model"]
    export(student, case.folder / "student.gguf", "f32")
    folder = shutil.copytree(student, case.folder / "student")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"use_regex": true', '"use_regex": false'))
    return check_student(folder, case.folder / "student.gguf", Chat.load(student).template_sha)[1]


@breaks("rendered_equals_source")
def rows_are_looked_up_by_the_wrong_key(case: Case) -> list[Gate]:
    from lib.model.chat import Chat
    from lib.train import render

    rows = list(jsonl.read(case.inputs("phase1a_base_training:render")["train"], Row))
    rendered = render.load(case.inputs("phase1a_base_training:train")["tokens"])
    shifted = msgspec.structs.replace(rendered, ids=[*rendered.ids[1:], rendered.ids[0]])
    chat = Chat.load(case.inputs(PARITY)["model"])
    return [render.compare_with_source(shifted, rows, chat, sample=20, seed=1)]


@breaks("merge_kl_nats", "merge_greedy_equal")
def the_merge_lost_the_adapter(case: Case) -> list[Gate]:
    from lib.model.chat import Chat
    from lib.model.merge_check import check_merge

    given, step = case.inputs("phase1a_base_training:merge/tuned"), case.graph["phase1a_base_training:merge/tuned"]
    chat = Chat.load(given["student"])
    prompts = [chat.prompt_ids(row.prompt) for row in case.test_rows()[:4]]
    settings = msgspec.structs.replace(step.params["merge"], prompts=4, new_tokens=8)
    _, gates = check_merge(
        base=given["student"], adapter=given["adapter"], merged=given["student"], prompts=prompts, settings=settings
    )  # fmt: skip
    return gates


@breaks("f16_top1", "q8_0_top1")
def the_files_are_of_another_model(case: Case) -> list[Gate]:
    return case.run(PARITY, model=case.inputs("phase1a_base_training:merge/tuned")["student"])


@breaks("stop_rate")
def answers_never_end(case: Case) -> list[Gate]:
    return case.run(COMPARE, tuned=case.results(case.inputs(COMPARE)["tuned"], finish="length"))


@breaks("q8_0_gain_margin")
def the_small_file_lost_the_gain(case: Case) -> list[Gate]:
    student, f16, q8_0 = case.inputs(COMPARE)["exported"]
    outcomes = ((student, "fail"), (f16, "pass"), (q8_0, "fail"))
    return case.run(COMPARE, exported=[case.results(path, outcome=outcome) for path, outcome in outcomes])


# Phase 1B


@breaks("sampled_test_rows")
def failures_are_looked_for_in_test_rows(case: Case) -> list[Gate]:
    return case.run(SAMPLE, pool=case.inputs(COMPARE)["rows"])


@breaks("probes_accepted")
def verifiers_hang_on_the_wrong_rows(case: Case) -> list[Gate]:
    """Each row wants what the other one's right answer says."""

    def row(at: int, said: str, wanted: str) -> Row:
        messages = [Message("user", f"{at}: say {said}"), Message("assistant", said)]
        verifier = Verifier("exact", {"answer": wanted})
        return identified(Row(messages=messages, source="a/b", licence="CC0-1.0", domain="general", verifier=verifier))

    rows = [row(at, *pair) for at, pair in enumerate([("one", "two"), ("two", "one")] * 8)]
    jsonl.write(case.folder / "rows.jsonl", rows)
    old = read_results(case.inputs(JUDGE)["results"])
    found = [msgspec.structs.replace(old.rows[0], id=one.id, outcome="fail") for one in rows]
    harness = msgspec.structs.replace(old.harness, n=len(rows))
    write_results(case.folder / "said.jsonl", Results(harness, found))
    return case.run(JUDGE, rows=case.folder / "rows.jsonl", results=case.folder / "said.jsonl")


# Phase 1C


@breaks("critique_length_stops")
def corrected_answers_are_cut_off(case: Case) -> list[Gate]:
    from lib.critique.attempts import Attempt
    from lib.critique.settle import gate

    step = case.graph["phase1c_targeted_distillation:critique"]
    made = jsonl.read(case.graph.folder(step) / step.writes["attempts"], Attempt)
    damaged = [msgspec.structs.replace(one, finish="length") for one in made]
    return [gate(damaged, step.params["settings"])]


# Phase 1D


def lessons(case: Case, change: Callable[[list[Row], list[Row]], None]) -> list[Gate]:
    """The gates on what phase 1D trains on, after `change` has had its way with training and validation rows."""
    from lib.distil.control import items
    from lib.distil.lessons import lesson_gates, teacher_gates
    from lib.teach.mixture import audit

    step = case.graph[TEACH]
    train, validation = (
        list(jsonl.read(case.graph.folder(step) / step.writes[name], Row)) for name in ("train", "validation")
    )
    failed = items([*train, *validation])
    change(train, validation)
    found = audit(train, validation, failed)
    return [*lesson_gates(found, step.params["settings"].pairs), *teacher_gates(found)]


def told(row: Row, **provenance: str) -> Row:
    """The row with another story about where it came from."""
    return msgspec.structs.replace(row, provenance={**row.provenance, **provenance})


@breaks("straddling_pairs")
def a_pair_is_torn_apart(case: Case) -> list[Gate]:
    return lessons(case, lambda train, validation: validation.append(train[0]))


@breaks("duplicate_ids")
def a_row_is_taught_twice(case: Case) -> list[Gate]:
    return lessons(case, lambda train, validation: train.append(train[0]))


@breaks("rehearsal_share")
def nothing_is_rehearsed(case: Case) -> list[Gate]:
    def forget(train: list[Row], validation: list[Row]) -> None:
        train[:] = [row for row in train if row.provenance["direction"] != "rehearsal"]

    return lessons(case, forget)


@breaks("rehearsed_taught")
def a_taught_row_counts_as_rehearsal(case: Case) -> list[Gate]:
    def pass_off(train: list[Row], validation: list[Row]) -> None:
        taught = next(row for row in train if row.provenance["direction"] == "forward")
        train.append(msgspec.structs.replace(told(taught, direction="rehearsal"), id="another"))

    return lessons(case, pass_off)


@breaks("rows_without_fail", "rows_without_terms")
def a_row_that_was_right_is_taught_by_nobody(case: Case) -> list[Gate]:
    def slip_in(train: list[Row], validation: list[Row]) -> None:
        train.append(told(written("Was it right?", "Yes."), direction="forward", item="a pass"))

    return lessons(case, slip_in)


@breaks("control_rows_missing")
def the_control_has_too_few_rows_to_draw_from(case: Case) -> list[Gate]:
    few = case.folder / "few.jsonl"
    jsonl.write(few, list(jsonl.read(case.inputs(DRAW)["sample"], Row))[:1])
    return case.run(DRAW, sample=few)


@breaks("steps_apart")
def the_control_was_trained_for_fewer_steps(case: Case) -> list[Gate]:
    first, control, second = case.inputs(DISTILLED)["histories"]
    short = case.folder / "short.jsonl"
    short.write_bytes(b"".join(control.read_bytes().splitlines(keepends=True)[:-1]))
    return case.run(DISTILLED, histories=[first, short, second])


# Phase 2


def out(case: Case, name: str, key: str) -> Path:
    """What a step of the finished root has written."""
    step = case.graph[name]
    return case.graph.folder(step) / step.writes[key]


@breaks("judged_rows_learnt")
def recovery_may_learn_what_confidence_is_judged_on(case: Case) -> list[Gate]:
    """The step that trains, given the judged rows to learn from."""
    learn = f"{PHASE2}:recover/learn"
    return case.run(learn, rows=case.inputs(learn)["judged"])


@breaks("sparsity_error", "pattern_violations")
def a_pruned_folder_is_dense_again(case: Case) -> list[Gate]:
    """Of the shape 2:4, whose zeros are all gone."""
    from lib.compress.prune_achieved import measure
    from lib.compress.prune_variant import wanted

    name = f"{PHASE2}:prune/magnitude-2of4"
    parent, settings = case.inputs(name)["parent"], case.graph[name].params["settings"]
    found = measure(parent, settings.shape)
    return found.gates(wanted(parent, settings.shape, None), settings.max_sparsity_error)


@breaks("mask_violations")
def an_adapter_was_added_past_the_mask(case: Case) -> list[Gate]:
    from lib.compress.prune_achieved import mask_gate
    from lib.model.merge import merge

    given = case.inputs(f"{PHASE2}:recover/merged")
    filled = case.folder / "filled"
    merge(base=given["model"], adapter=given["adapter"], out=filled, name="filled")
    return [mask_gate(given["model"], filled)]


@breaks("imatrix_entries_changed", "imatrix_tensors_wrong")
def the_importance_is_of_another_model(case: Case) -> list[Gate]:
    """An entry less and one changed, in a file that should hold them all."""
    from lib.compress import imatrix, imatrix_file

    found = imatrix_file.read(out(case, f"{PHASE2}:importance/dense", "matrix"))
    first, second, *_ = sorted(found.sums)
    path = case.folder / "damaged.gguf"
    damaged = imatrix.Importance(
        {name: values * 2 if name == second else values for name, values in found.sums.items() if name != first},
        {name: count for name, count in found.counts.items() if name != first},
    )
    imatrix_file.write(damaged, path, dataset="toy", rows=1, tokens=2)
    widths = imatrix.matrix_widths(case.inputs(f"{PHASE2}:importance/dense")["f16"], head=True)
    return [imatrix_file.round_trip(found, path), imatrix.check(damaged, widths)]


@breaks("tensor_sizes_wrong", "tensors_on_students_grid")
def a_file_has_the_students_type_and_lies_about_its_size(case: Case) -> list[Gate]:
    from lib.compress.gguf_variants import read_types
    from lib.compress.types import honest_sizes
    from lib.compress.types_grid import Grid, grid_gate

    found = read_types(out(case, MIXED, "types"))
    longer = [msgspec.structs.replace(tensor, bytes=tensor.bytes + 1) for tensor in found.tensors]
    used = next(tensor.got for tensor in found.tensors if len(tensor.shape) > 1)
    grid = Grid(used, 1.0, 100, (used,))
    return [honest_sizes(msgspec.structs.replace(found, tensors=longer)), grid_gate(found, grid)]


@breaks("mix_types_wrong", "mix_bytes_off")
def the_file_is_another_mix_than_was_planned(case: Case) -> list[Gate]:
    from lib.compress import mix
    from lib.compress.gguf_variants import read_options, read_types

    given, params = case.inputs(MIXED), case.graph[MIXED].params
    source = read_types(out(case, f"{PHASE2}:parent", "types"))
    planned = mix.plan(read_options(given["options"]), source, [params["bits"]], units=params["units"])[0]
    found = read_types(out(case, f"{PHASE2}:gguf/mix-1", "types"))
    return [mix.as_planned(found, planned.kinds), mix.bytes_as_planned(found, planned)]


@breaks("awq_reload_max_abs_logit_diff", "awq_fold_kl_nats")
def what_was_saved_is_another_model(case: Case) -> list[Gate]:
    """The pruned model's weights where the parent's, scaled, should be."""
    from lib.compress import awq_check, awq_reload
    from lib.model import weights

    settings, probes = case.graph[AWQ].params["settings"], [[5, 6, 7, 8], [9, 10, 11]]
    parent, packed, other = case.inputs(AWQ)["model"], out(case, AWQ, "packed"), out(case, PRUNED, "model")
    (case.folder / "work").mkdir()
    said = case.folder / "said.safetensors"
    awq_reload.save(awq_reload.logits(weights.load(other, dtype="auto").eval(), probes), said)
    answered = awq_check.reload(packed, probes, work=case.folder / "work", threads=1)
    return [
        awq_check.reload_gate(said, answered, settings), awq_check.fold_gate(parent, other, probes, settings, 1)
    ]  # fmt: skip


@breaks("unpacked_identical")
def a_pack_is_of_another_file(case: Case) -> list[Gate]:
    return case.run(f"{PHASE2}:unpack/q8_0", gguf=out(case, f"{PHASE2}:gguf/q4_0", "gguf"))


@breaks("chosen_packs_wrong")
def a_chosen_file_is_packed_from_another(case: Case) -> list[Gate]:
    """Where nothing was chosen in the smoke run, a choice made by hand; then the pack of another file."""
    from lib.compress import release
    from lib.compress.frontier import Choice

    files = {name: out(case, f"{PHASE2}:gguf/{name}", "gguf") for name in ("q8_0", "q4_0")}
    settings = case.graph[f"{PHASE2}:release"].params["settings"]
    release.place(Choice(release="q8_0", mobile=None, verdicts={}), files, case.folder / "files", settings, 1)
    shutil.copyfile(files["q4_0"], case.folder / "files/release.gguf")
    return [release.gate(case.folder / "files", settings.max_file_bytes)]


@breaks("trace_retokenised", "trace_first_gap_nats")
def the_answers_were_given_by_somebody_else(case: Case) -> list[Gate]:
    """Of another length than is recorded, and much less sure of their first token than this model is."""
    old = read_results(case.inputs(TRACE)["results"])
    rows = [msgspec.structs.replace(row, tokens=row.tokens + 3, first_logprob=-20.0) for row in old.rows]
    write_results(case.folder / "said.jsonl", Results(old.harness, rows))
    return case.run(TRACE, results=case.folder / "said.jsonl")


# The promise


@pytest.mark.parametrize("name", BROKEN)
def test_the_gate_fails_on_what_it_is_there_for(name: str, case: Case) -> None:
    gates = {gate.name: gate for gate in BROKEN[name](case)}
    assert not gates[name].passed and name in gates[name].line()


@pytest.mark.parametrize("name", CHECKED)
def test_the_same_gates_pass_on_what_is_whole(name: str, case: Case) -> None:
    gates = case.run(name)
    assert sorted(gate.name for gate in gates) == sorted(case.graph[name].gates)
    assert [gate.line() for gate in gates if not gate.passed] == []


def test_no_declared_gate_lacks_a_case_and_no_case_a_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    modules = [dodo(monkeypatch, profile, tmp_path) for profile in PROFILES]
    declared = {gate for module in modules for task in tasks(module) for gate in task["meta"]["step"].gates}
    assert declared == set(BROKEN)
