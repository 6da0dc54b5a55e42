"""The pipeline's table of contents: one `task_phaseN_name` a phase, one row a step.

`doit list` shows the phases, `doit list --all` the steps, `doit plan` what would run and why, `doit` runs it.
A row names the function that does the work, what it reads ("step#output" of an earlier row), what it writes (a trailing
slash is a folder) and its own slice of the configuration. Outputs land in artifacts/phaseN/<step>/. No logic here:
how a step goes stands in tasks/, how a thing is done in lib/.
"""

from pathlib import Path

from lib.compress.prune_settings import GRADUAL
from lib.compress.settings import DENSE, SCALED
from lib.pipeline.start import start
from lib.pipeline.step import Step
from lib.settings import Config

C, pipeline = start(Config, __file__, summary="tasks.summary:show", report="tasks.report:render")
DOIT_CONFIG = pipeline.doit_config()

SEED, THREADS, UNSEEN = {"seed": C.run.seed}, {"threads": C.run.threads}, {"unseen_kinds": C.sources.unseen_kinds}
ON_DEVICE = {"device": C.run.device, "preload": True}
TRACKED = sorted(Path("tests/fixtures").rglob("*.*")) if "fixtures" in C.sources.use else []
FIXTURES = {"fixtures": [path for path in TRACKED if path.suffix == ".py"]}
ROWS = [path for path in TRACKED if path.suffix == ".jsonl"]
HELDOUT = ["phase0_dataset:fetch/heldout#rows"] if "heldout" in C.sources.use else []
LEARNT, EVALUATED = ("train", "validation", "failure_pool", "calibration", "pool"), ("test", "unseen", "heldout")


def task_phase0_dataset():
    """0 Dataset: fetch, standardise, score, select, deduplicate, split, decontaminate, verify"""
    P, T = "phase0_dataset", "tasks.phase0_dataset"
    S, K = C.sources, C.curate
    fetches = {
        "reasoning": ("reasoning", {}, {"source": S.reasoning, **SEED}),
        "code": ("code", {}, {"source": S.code, "jail": C.jail, **SEED}),
        "automation": ("automation", {}, {"source": S.automation, **SEED}),
        "fixtures": ("fixtures", {"files": ROWS}, {"source": S.fixtures, **SEED}),
        "own": ("own", {"files": [Path(path) for path in K.own.paths]}, {"source": K.own, "lengths": K.standardise}),
    }  # fmt: skip
    used = {name: fetches[name] for name in S.use if name in fetches}
    if "hub" in S.use:
        used |= {f"hub-{name}": ("hub", {}, {"source": K.hub[name], "lengths": K.standardise}) for name in K.hub_sets}
    for name, (function, reads, params) in used.items():
        yield from pipeline.phase(Step(
            name=f"{P}:fetch/{name}", doc=f"0.1 Fetch source `{name}`", run=f"{T}:fetch_{function}",
            reads=reads, writes={"rows": "rows.jsonl", "rejects": "rejects.jsonl"}, params=params,
        ))  # fmt: skip
    if HELDOUT:
        yield from pipeline.phase(Step(
            name=f"{P}:fetch/heldout", doc="0.1 Fetch HumanEval, on which nothing is ever trained",
            run=f"{T}:fetch_heldout", writes={"rows": "rows.jsonl"}, params={"source": S.heldout},
        ))  # fmt: skip
    yield from pipeline.phase(
        Step(
            name=f"{P}:standardise", doc="0.2 One schema for all sources", run=f"{T}:standardise",
            reads={
                "fetched": [f"{P}:fetch/{name}#rows" for name in used],
                "refused": [f"{P}:fetch/{name}#rejects" for name in used],
            },
            writes={"rows": "rows.jsonl", "rejects": "rejects.jsonl"},
        ),
        Step(
            name=f"{P}:score", doc="0.3 Score rows by heuristics aware of code and formulas", run=f"{T}:score",
            reads={"rows": f"{P}:standardise#rows"}, writes={"scored": "rows.jsonl"},
        ),
        Step(
            name=f"{P}:select", doc="0.4 Keep the best of each kind, none too many, none too long", run=f"{T}:select",
            reads={"rows": f"{P}:score#scored"}, writes={"kept": "rows.jsonl", "rejects": "rejects.jsonl"},
            params={"settings": K.select},
        ),
        Step(
            name=f"{P}:deduplicate", doc="0.5 Drop exact twins and near-duplicates", run=f"{T}:deduplicate",
            reads={"rows": f"{P}:select#kept"}, writes={"kept": "rows.jsonl", "dropped": "dropped.jsonl"},
            params={"settings": K.dedup},
        ),
        Step(
            name=f"{P}:split", doc="0.6 Divide by content group, before anything trains", run=f"{T}:split",
            reads={"rows": f"{P}:deduplicate#kept", "benchmarks": HELDOUT},
            writes={part: f"{part}.jsonl" for part in (*LEARNT, *EVALUATED)}, params={"settings": K.split, **UNSEEN},
        ),
        Step(
            name=f"{P}:decontaminate", doc="0.7 Drop what shares text with a row that something is evaluated on",
            run=f"{T}:decontaminate",
            reads={
                "parts": [f"{P}:split#{part}" for part in LEARNT],
                "evaluated": [f"{P}:split#{part}" for part in EVALUATED],
            },
            writes={**{part: f"{part}.jsonl" for part in LEARNT}, "rejects": "rejects.jsonl"},
            params={"settings": K.decontaminate, "dedup": K.dedup},
        ),
        Step(
            name=f"{P}:verify", doc="0.8 Read the written files again and hold them to their promises",
            run=f"{T}:verify",
            reads={
                "learnt": [f"{P}:decontaminate#{part}" for part in LEARNT],
                "evaluated": [f"{P}:split#{part}" for part in EVALUATED], "standardised": f"{P}:standardise#rows",
                "dropped": [f"{P}:select#rejects", f"{P}:deduplicate#dropped", f"{P}:decontaminate#rejects"],
                "heldout": HELDOUT, **FIXTURES,
            },
            params={
                "settings": K.verify, "dedup": K.dedup, "decontaminate": K.decontaminate, "code": S.code,
                "jail": C.jail,
            },
            gates=(
                "rows_unaccounted", "schema_faults", "exact_duplicates", "near_duplicate_share", "overlap_rows",
                "not_english_share", "references_failed", "straddling_group", "straddling_id", "straddling_prompt",
                "straddling_text",
            ),
        ),
    )  # fmt: skip


def task_phase1a_base_training():
    """1A Base training: student, render, train, control, merge, GGUF, parity, evaluate, compare"""
    P, T, D = "phase1a_base_training", "tasks.phase1a_base_training", "phase0_dataset:decontaminate"
    student, held_out = f"{P}:student#model", f"{P}:render#held_out"
    toy = C.student.kind == "toy"
    runs = {  # adapter -> its rows, its settings, what it is
        "train": ("tokens", C.train, "1A.3 Fine-tune adapters on the training rows"),
        "control": ("control", C.control, "1A.4 The same on a hundred rows: what the format alone is worth"),
    }
    merges = {"tuned": "train", "control": "control"}  # model -> its adapter
    yield from pipeline.phase(
        Step(
            name=f"{P}:student", doc="1A.1 The model to start from", run=f"{T}:student_{C.student.kind}",
            reads={"texts": f"{D}#train"} if toy else {}, writes={"model": "model/"},
            params={"student": getattr(C.student, C.student.kind), **(SEED if toy else {})},
            gates=C.student_gates, secrets=("HF_TOKEN",) if C.student.kind == "hub" else (), preload=True,
        ),
        Step(
            name=f"{P}:render", doc="1A.2 Rows to tensors, prompts masked, answers ending in the end token",
            run=f"{T}:render", gates=("rendered_equals_source",),
            reads={"train": f"{D}#train", "validation": f"{D}#validation", "student": student},
            writes={"tokens": "train/", "control": "control/", "held_out": "validation/"},
            params={"mix": C.mix, "max_tokens": C.train.max_tokens, **SEED},
        ),
        *(Step(
            name=f"{P}:{name}", doc=doc, run=f"{T}:train", **ON_DEVICE,
            reads={"tokens": f"{P}:render#{rows}", "held_out": held_out, "student": student},
            writes={"adapter": "adapter/", "history": "history.jsonl", "curve": "curve.svg"},
            params={"settings": settings, **SEED, **THREADS},
        ) for name, (rows, settings, doc) in runs.items()),
        *(Step(
            name=f"{P}:merge/{name}", doc=f"1A.5 Adapter into full-precision weights: {name}", run=f"{T}:merge",
            reads={"student": student, "adapter": f"{P}:{adapter}#adapter", "rows": f"{D}#validation"},
            writes={"model": "model/"}, params={"merge": C.merge, "name": f"cogumi-{name}", **SEED},
            gates=("merge_kl_nats", "merge_greedy_equal"), preload=True,
        ) for name, adapter in merges.items()),
        Step(
            name=f"{P}:gguf/tuned", doc="1A.6 Export to GGUF: f16 and Q8_0", run=f"{T}:gguf", preload=True,
            reads={"model": f"{P}:merge/tuned#model"}, params={"head": C.export.q8_0_head, **THREADS},
            writes={"f16": "model-f16.gguf", "q8_0": "model-q8_0.gguf"},
        ),
        Step(
            name=f"{P}:gguf/student", doc="1A.6 Export to GGUF for comparison: student", run=f"{T}:gguf_f16",
            reads={"model": student}, writes={"f16": "model-f16.gguf"}, preload=True,
        ),
        Step(
            name=f"{P}:parity", doc="1A.7 The exported files against the model", run=f"{T}:parity", preload=True,
            reads={
                "model": f"{P}:merge/tuned#model", "f16": f"{P}:gguf/tuned#f16", "q8_0": f"{P}:gguf/tuned#q8_0",
                "rows": f"{D}#validation",
            },
            params={"export": C.export, **SEED, **THREADS}, gates=("f16_top1", "q8_0_top1"),
        ),
        *(Step(
            name=f"{P}:evaluate/{name}", doc=f"1A.8 Ask and judge: {name}", run=f"{T}:evaluate", **ON_DEVICE,
            reads={"model": model, "tokenizer": student, "rows": "phase0_dataset:split#test", **FIXTURES},
            writes={"results": "results.jsonl"},
            params={"settings": C.evaluate, "jail": C.jail, "code": C.sources.code, **SEED, **THREADS, "gguf": gguf},
        ) for name, model, gguf in (
            ("student", student, False), ("control", f"{P}:merge/control#model", False),
            ("tuned", f"{P}:merge/tuned#model", False), ("student-f16", f"{P}:gguf/student#f16", True),
            ("tuned-f16", f"{P}:gguf/tuned#f16", True), ("tuned-q8_0", f"{P}:gguf/tuned#q8_0", True),
        )),
        Step(
            name=f"{P}:compare", doc="1A.9 Paired differences, kept gain, ten answers before and after",
            run=f"{T}:compare", gates=("stop_rate", "q8_0_gain_margin"), writes={"comparison": "comparison.json"},
            reads={
                **{name: f"{P}:evaluate/{name}#results" for name in ("student", "control", "tuned")},
                "exported": [f"{P}:evaluate/{name}#results" for name in ("student-f16", "tuned-f16", "tuned-q8_0")],
                "rows": "phase0_dataset:split#test",
            },
            params={"settings": C.evaluate, "export": C.export, **SEED},
        ),
    )  # fmt: skip


def task_phase1b_failure_analysis():
    """1B Failure analysis: sample, ask, judge, embed, cluster"""
    P, T, A = "phase1b_failure_analysis", "tasks.phase1b_failure_analysis", C.analyse
    judging = {"jail": C.jail, "code": C.sources.code}
    analyst = {"teach": C.analyst, "engine": C.evaluate.engine, **THREADS}
    secrets = C.analyst.secrets if C.analyst else ()
    rows, judged = f"{P}:sample#sample", f"{P}:judge#judged"
    yield from pipeline.phase(
        Step(
            name=f"{P}:sample", doc="1B.1 Rows of the failure pool, each domain and source in proportion",
            run=f"{T}:sample", gates=("sampled_test_rows",), writes={"sample": "sample.jsonl"},
            reads={
                "pool": "phase0_dataset:decontaminate#failure_pool",
                "held_out": [f"phase0_dataset:split#{part}" for part in EVALUATED],
            },
            params={"rows": A.rows, **SEED},
        ),
        Step(
            name=f"{P}:ask", doc="1B.2 The tuned model answers; what was cut off is asked again with more room",
            run=f"{T}:ask", writes={"results": "results.jsonl"}, **ON_DEVICE,
            reads={
                "model": "phase1a_base_training:merge/tuned#model", "tokenizer": "phase1a_base_training:student#model",
                "rows": rows, **FIXTURES,
            },
            params={"settings": C.evaluate, "verdict": A.verdict, **judging, **THREADS},
        ),
        Step(
            name=f"{P}:judge", doc="1B.3 Whoever judges is tried with answers made to be wrong",
            run=f"{T}:judge", gates=("probes_accepted",), writes={"judged": "results.jsonl", "trial": "trial.json"},
            reads={"rows": rows, "results": f"{P}:ask#results", **FIXTURES},
            params={"settings": A.judge, **judging, **analyst, **SEED}, secrets=secrets,
        ),
        Step(
            name=f"{P}:embed", doc="1B.4 Question and answer of each row as a vector", run=f"{T}:embed", preload=True,
            reads={"rows": rows, "results": judged}, writes={"vectors": "vectors.safetensors"},
            params={"settings": A.embed, **THREADS},
        ),
        Step(
            name=f"{P}:cluster", doc="1B.5 Failures into kinds, named and drawn; what to teach and what to keep",
            run=f"{T}:cluster", reads={"rows": rows, "results": judged, "vectors": f"{P}:embed#vectors"},
            writes={
                "failures": "failures.jsonl", "regression": "regression.jsonl", "analysis": "analysis.json",
                "map": "map.svg",
            },
            params={"clustering": A.cluster, "naming": A.name, **analyst, **SEED}, secrets=secrets,
        ),
    )  # fmt: skip


def task_phase1c_targeted_distillation():
    """1C/1D Targeted distillation: critique, teach, draw, render, train, merge, GGUF, parity, evaluate, compare"""
    P, T, D = "phase1c_targeted_distillation", "tasks.phase1d_distillation", "phase0_dataset:decontaminate"
    TRAIN, T1A = "phase1a_base_training", "tasks.phase1a_base_training"
    student, tuned = f"{TRAIN}:student#model", f"{TRAIN}:merge/tuned#model"
    sample, cluster = "phase1b_failure_analysis:sample#sample", "phase1b_failure_analysis:cluster"
    seeds = {"targeted": C.run.seed, "control": C.run.seed, "second": C.distil.second_seed}
    rows = {"targeted": "targeted", "control": "control", "second": "targeted"}  # run -> whose rows
    asking = {"settings": C.evaluate, "jail": C.jail, "code": C.sources.code, **SEED, **THREADS}
    audited = ("straddling_pairs", "duplicate_ids", "rehearsal_share", "rehearsed_taught")
    yield from pipeline.phase(
        Step(
            name=f"{P}:critique", doc="1C.1 The tuned model criticises and mends its own failures, reference unseen",
            run="tasks.phase1c_self_critique:critique", **ON_DEVICE,
            reads={
                "model": "phase1a_base_training:merge/tuned#model", "tokenizer": "phase1a_base_training:student#model",
                "failures": "phase1b_failure_analysis:cluster#failures",
                "sample": "phase1b_failure_analysis:sample#sample", **FIXTURES,
            },
            writes={"attempts": "attempts.jsonl", "fixed": "fixed.jsonl", "hard": "hard.jsonl"},
            params={
                "settings": C.critique, "evaluate": C.evaluate, "jail": C.jail, "code": C.sources.code, **THREADS,
                **SEED,
            },
            gates=("critique_length_stops",),
        ),
        Step(
            name=f"{P}:teach", doc="1C.2 Failures answered by a teacher, verified, made into pairs, rehearsed, audited",
            run=f"{T}:teach", secrets=C.teach.secrets,
            gates=(*audited, "rows_without_fail", "rows_without_terms"),
            reads={
                "failures": f"{cluster}#failures", "right": f"{cluster}#regression", "sample": sample,
                "fixed": f"{P}:critique#fixed", "hard": f"{P}:critique#hard", "pool": f"{D}#train", **FIXTURES,
            },
            writes={"train": "train.jsonl", "validation": "validation.jsonl", "teachers": "teachers.json"},
            params={
                "settings": C.teach, "rows": C.distil.rows, "least_rate": C.distil.least_rate,
                "few_answers": C.critique.few_answers, "engine": C.evaluate.engine, "jail": C.jail,
                "code": C.sources.code, **THREADS, **SEED,
            },
        ),
        Step(
            name=f"{P}:draw", doc="1C.3 The control: as many rows of items drawn at random", run=f"{T}:draw",
            reads={
                "taught": [f"{P}:teach#train", f"{P}:teach#validation"], "sample": sample, "pool": f"{D}#train",
            },
            writes={"train": "train.jsonl", "validation": "validation.jsonl"},
            params={"pairs": C.teach.pairs, "offer": C.teach.reference, **SEED},
            gates=(*audited, "control_rows_missing"),
        ),
        *(Step(
            name=f"{P}:render/{name}", doc=f"1C.4 Rows to tensors: {name}", run=f"{T}:render",
            reads={
                "train": f"{P}:{made}#train", "validation": f"{P}:{made}#validation", "earlier": f"{D}#validation",
                "student": student,
            },
            writes={"tokens": "train/", "held_out": "validation/"}, gates=("rendered_equals_source",),
            params={"max_tokens": C.distilled.max_tokens, **SEED},
        ) for name, made in (("targeted", "teach"), ("control", "draw"))),
        *(Step(
            name=f"{P}:train/{name}", doc=f"1C.5 Fine-tune the tuned model further: {name}", **ON_DEVICE,
            run=f"{T1A}:train" if name == "targeted" else f"{T}:train_as_long",
            reads={
                "tokens": f"{P}:render/{rows[name]}#tokens", "held_out": f"{P}:render/{rows[name]}#held_out",
                "student": tuned, **({} if name == "targeted" else {"pattern": f"{P}:train/targeted#history"}),
            },
            writes={"adapter": "adapter/", "history": "history.jsonl", "curve": "curve.svg"},
            params={"settings": C.distilled, "seed": seed, **THREADS},
        ) for name, seed in seeds.items()),
        *(Step(
            name=f"{P}:merge/{name}", doc=f"1C.6 Adapter into full-precision weights: {name}", run=f"{T1A}:merge",
            reads={"student": tuned, "adapter": f"{P}:train/{name}#adapter", "rows": f"{D}#validation"},
            writes={"model": "model/"}, params={"merge": C.merge, "name": f"cogumi-{name}", **SEED},
            gates=("merge_kl_nats", "merge_greedy_equal"), preload=True,
        ) for name in seeds),
        Step(
            name=f"{P}:gguf", doc="1C.7 Export to GGUF: f16 and Q8_0", run=f"{T1A}:gguf", preload=True,
            reads={"model": f"{P}:merge/targeted#model"}, params={"head": C.export.q8_0_head, **THREADS},
            writes={"f16": "model-f16.gguf", "q8_0": "model-q8_0.gguf"},
        ),
        Step(
            name=f"{P}:parity", doc="1C.8 The exported files against the model", run=f"{T1A}:parity", preload=True,
            reads={
                "model": f"{P}:merge/targeted#model", "f16": f"{P}:gguf#f16", "q8_0": f"{P}:gguf#q8_0",
                "rows": f"{D}#validation",
            },
            params={"export": C.export, **SEED, **THREADS}, gates=("f16_top1", "q8_0_top1"),
        ),
        *(Step(
            name=f"{P}:evaluate/{name}", doc=f"1C.9 Ask and judge as phase 1A does: {name}", run=f"{T1A}:evaluate",
            reads={
                "model": f"{P}:merge/{name}#model", "tokenizer": student, "rows": "phase0_dataset:split#test",
                **FIXTURES,
            },
            writes={"results": "results.jsonl"}, params={**asking, "gguf": False}, **ON_DEVICE,
        ) for name in seeds),
        *(Step(
            name=f"{P}:regression/{name}", doc=f"1C.10 Ask again what was right before: {name}",
            run=f"{T}:regression", writes={"results": "results.jsonl"}, params=asking, **ON_DEVICE,
            reads={
                "model": f"{P}:merge/{name}#model", "tokenizer": student, "rows": f"{cluster}#regression", **FIXTURES,
            },
        ) for name in seeds),
        Step(
            name=f"{P}:compare", doc="1C.11 Against its parent, the control and its own second seed",
            run=f"{T}:compare", gates=("stop_rate", "steps_apart"), writes={"comparison": "comparison.json"},
            reads={
                "tuned": f"{TRAIN}:evaluate/tuned#results",
                **{name: f"{P}:evaluate/{name}#results" for name in seeds},
                "regressions": [f"{P}:regression/{name}#results" for name in seeds],
                "histories": [f"{P}:train/{name}#history" for name in seeds],
                "drawn": [f"{P}:draw#train", f"{P}:draw#validation"], "rows": "phase0_dataset:split#test",
            },
            params={"settings": C.evaluate, "min_retained": C.distil.min_retained, **SEED},
        ),
    )  # fmt: skip


def task_phase2_compress():
    """2 Compression: prune, importance, types, mixes, AWQ, measure, frontier, pack, calibrate, recover"""
    P, K, D, TRAIN = "phase2_compress", C.compress, "phase0_dataset:decontaminate", "phase1a_base_training"
    modules = ("parent", "prune", "gguf", "measure", "choose", "release", "pack", "calibrate", "recover")
    T = {name: f"tasks.phase2_{name}" for name in modules}
    TAUGHT, student = "phase1c_targeted_distillation", f"{TRAIN}:student#model"
    model, f16, tokens = f"{P}:parent#model", f"{P}:parent#f16", f"{TRAIN}:render"
    calibration, validation, curves = f"{D}#calibration", f"{D}#validation", f"{P}:sensitivity#curves"
    grid, options = f"{P}:grid#grid", f"{P}:mix-errors#options"
    matrices = {base: f"{P}:importance/{base}#matrix" for base in K.plain}
    asking = {"settings": C.evaluate, "jail": C.jail, "code": C.sources.code, **SEED, **THREADS}
    finals = range(K.frontier.finalists)
    judged = [f"{P}:evaluate/final-{at}#results" for at in finals]
    folders = {name: f"{P}:prune/{name}#model" for name in (*K.prune.variants, GRADUAL)}
    quantised = {
        DENSE: f16,
        SCALED: f"{P}:awq-folded#f16",
        **{name: f"{P}:best/{name}#f16" for name in K.files.pruned},
    }
    bases = {
        DENSE: model, SCALED: f"{P}:awq/dense#folded", **{name: f"{P}:best/{name}#model" for name in K.files.pruned},
    }  # fmt: skip
    files = {"f16": ("parent", f16, f"{P}:parent#types")} | {
        each.name: (each.origin, f"{P}:gguf/{each.step}#gguf", f"{P}:gguf/{each.step}#types") for each in K.candidates
    }
    candidates = {
        "ggufs": [gguf for _, gguf, _ in files.values()], "types": [types for _, _, types in files.values()],
        "divergences": [f"{P}:divergence/{name.lower()}#divergence" for name in files], "grid": grid,
    }  # fmt: skip
    named = {"names": list(files), "origins": [origin for origin, _, _ in files.values()]}
    measured = {"text": K.frontier.text, "resamples": K.frontier.resamples, **SEED, **THREADS}
    hold, recovered = K.prune.recover.hold, f"{P}:recover/decode#model"
    yield from pipeline.phase(
        Step(
            name=f"{P}:parent", doc="2.1 What phase 1D adopted: its model, or the one it was taught from",
            run=f"{T['parent']}:parent",
            reads={
                "compared": f"{TAUGHT}:compare#metrics",
                "models": [f"{TRAIN}:merge/tuned#model", f"{TAUGHT}:merge/targeted#model"],
                "files": [f"{TRAIN}:gguf/tuned#f16", f"{TAUGHT}:gguf#f16"],
                "answers": [f"{TRAIN}:evaluate/tuned#results", f"{TAUGHT}:evaluate/targeted#results"],
            },
            writes={"model": "model/", "f16": "model-f16.gguf", "types": "types.json", "results": "results.jsonl"},
        ),
        Step(
            name=f"{P}:divide", doc="2.1 The calibration split: what may be learnt, what confidence is judged on",
            run=f"{T['parent']}:divide", reads={"rows": calibration}, gates=("judged_rows_learnt",),
            writes={"asked": "asked.jsonl", "learn": "learn.jsonl", "judge": "judge.jsonl"},
            params={"most": K.calibrate.rows, "share": K.calibrate.fit_share, **SEED},
        ),
        Step(
            name=f"{P}:sensitivity", doc="2.2 What each layer loses when it alone is pruned", preload=True,
            run=f"{T['prune']}:sensitivity", reads={"model": model, "rows": calibration},
            writes={"curves": "curves.json"}, params={"settings": K.prune.sensitivity, **SEED, **THREADS},
        ),
        *(Step(
            name=f"{P}:prune/{name}", doc=f"2.2 Prune at once: {name}", run=f"{T['prune']}:one_shot", preload=True,
            reads={
                "parent": model, "rows": calibration, "curves": [curves] if shape.allocation == "sensitivity" else [],
            },
            writes={"model": "model/"}, gates=("sparsity_error", "pattern_violations"),
            params={"variant": name, "settings": K.prune.one_shots[name], **SEED, **THREADS},
        ) for name, (_, shape) in K.prune.variants.items()),
        Step(
            name=f"{P}:prune/{GRADUAL}", doc="2.2 Prune in stages, learning from the parent in between", **ON_DEVICE,
            run=f"{T['prune']}:gradual", gates=("sparsity_error", "pattern_violations", "mask_violations"),
            reads={
                "parent": model, "rows": calibration, "tokens": f"{tokens}#tokens", "held_out": f"{tokens}#held_out",
                "curves": curves, "divergences": [f"{P}:divergence/{name}#metrics" for name in K.prune.staged.methods],
            },
            writes={"model": "model/", "stages": "stages.json"}, params={"settings": K.prune.staged, **SEED, **THREADS},
        ),
        *(Step(
            name=f"{P}:divergence/{name}", doc=f"2.3 Against the parent: {name}", preload=True,
            run=f"{T['measure']}:divergence_of_folder", writes={"divergence": "divergence.json"},
            reads={"parent": model, "model": folder, "rows": validation},
            params=measured,
        ) for name, folder in (
            *folders.items(), *((f"awq-{base}", f"{P}:awq/{base}#packed") for base in K.files.awq)
        )),
        *(Step(
            name=f"{P}:best/{shape}", doc=f"2.4 The closest to the parent of the shape {shape}, and its f16 file",
            run=f"{T['prune']}:best", writes={"model": "model/", "f16": "model-f16.gguf", "choice": "choice.json"},
            reads={
                "models": [folders[name] for name in K.prune.families[shape]],
                "divergences": [f"{P}:divergence/{name}#metrics" for name in K.prune.families[shape]],
            },
            params={"names": K.prune.families[shape]}, preload=True,
        ) for shape in K.files.pruned),
        *(Step(
            name=f"{P}:importance/{base}", doc=f"2.5 Importance matrix from the calibration split: {base}",
            run=f"{T['gguf']}:importance", writes={"matrix": "importance.gguf"}, preload=True,
            reads={"model": bases[base], "rows": calibration, "f16": quantised[base]},
            gates=("imatrix_entries_changed", "imatrix_tensors_wrong"),
            params={"settings": K.importance, **SEED, **THREADS},
        ) for base in K.plain),
        Step(
            name=f"{P}:grid", doc="2.5 Which type's grid the student lies on, what types keep of the training",
            run=f"{T['gguf']}:grid", reads={"student": student, "tuned": model}, writes={"grid": "grid.json"},
            params={"share": K.types.grid_share}, preload=True,
        ),
        *(Step(
            name=f"{P}:awq/{base}", doc=f"2.6 Four bits by AWQ: {base}", run=f"{T['gguf']}:awq", preload=True,
            reads={"model": bases[base], "rows": calibration}, writes={"packed": "packed/", "folded": "folded/"},
            params={"settings": K.awq, **SEED, **THREADS},
            gates=("awq_reload_max_abs_logit_diff", "awq_fold_kl_nats"),
        ) for base in K.files.awq),
        *(Step(
            name=f"{P}:awq-folded", doc="2.6 AWQ's scales folded into plain weights, as f16 GGUF", preload=True,
            run=f"{T['gguf']}:export", reads={"model": f"{P}:awq/dense#folded"}, writes={"f16": "model-f16.gguf"},
        ) for base in K.plain if base == SCALED),
        *(Step(
            name=f"{P}:gguf/{each.step}", doc=f"2.7 GGUF: {each.name}", run=f"{T['gguf']}:stock", preload=True,
            reads={"f16": quantised[each.model], "grid": grid,
                   "matrix": [matrices[each.model]] if each.importance else []},
            writes={"gguf": f"model-{each.step}.gguf", "types": "types.json"}, gates=("tensor_sizes_wrong",),
            params={"kind": each.kind, **THREADS},
        ) for each in K.stock),
        Step(
            name=f"{P}:mix-errors", doc="2.7 What each type of each matrix costs in the output of its layer",
            run=f"{T['gguf']}:mix_errors", writes={"options": "options.json"}, preload=True,
            reads={"model": bases[K.mix.of], "rows": calibration, "matrix": matrices[K.mix.of], "grid": grid},
            params={"settings": K.mix.errors, **SEED, **THREADS},
        ),
        *(Step(
            name=f"{P}:gguf/{each.step}", doc=f"2.7 GGUF: types by matrix, {K.mix.bits[int(each.kind)]} bits a weight",
            run=f"{T['gguf']}:mixed", writes={"gguf": f"model-{each.step}.gguf", "types": "types.json"}, preload=True,
            reads={"options": options, "f16": quantised[each.model], "matrix": matrices[each.model], "grid": grid},
            params={"bits": K.mix.bits[int(each.kind)], "units": K.mix.units, **THREADS},
            gates=("mix_types_wrong", "mix_bytes_off", "tensors_on_students_grid", "tensor_sizes_wrong"),
        ) for each in K.mixes),
        *(Step(
            name=f"{P}:divergence/{name.lower()}", doc=f"2.8 Against the parent: {name}", preload=True,
            run=f"{T['measure']}:divergence", writes={"divergence": "divergence.json"},
            reads={"f16": f16, "gguf": gguf, "rows": validation, "tokenizer": model},
            params={"speed": K.speed, **measured},
        ) for name, (_, gguf, _) in files.items()),
        *(Step(
            name=f"{P}:final/{at}", doc=f"2.9 Whose answers are worth verifying, after {at} others", preload=True,
            run=f"{T['choose']}:final", writes={"named": "finalist.json", "gguf": f"final-{at}.gguf"},
            reads={
                **candidates, "parent": f"{P}:parent#results", "finals": judged[:at],
                "earlier": [f"{P}:final/{before}#named" for before in range(at)],
            },
            params={**named, "settings": K.frontier, **SEED},
        ) for at in finals),
        *(Step(
            name=f"{P}:evaluate/final-{at}", doc=f"2.9 Ask and judge as the parent was: finalist {at}",
            run=f"{T['measure']}:evaluate_file", writes={"results": "results.jsonl"}, **ON_DEVICE,
            reads={"gguf": f"{P}:final/{at}#gguf", "like": model, "rows": "phase0_dataset:split#test", **FIXTURES},
            params={"name": f"decoded-{at}", **asking},
        ) for at in finals),
        Step(
            name=f"{P}:frontier", doc="2.10 Size against divergence, the plan beside it, and what the release takes",
            run=f"{T['choose']}:frontier", writes={"table": "frontier.json", "picture": "frontier.svg"},
            reads={
                **candidates, "student": f"{TRAIN}:evaluate/student#results", "parent": f"{P}:parent#results",
                "whole": f"{P}:parent#types", "named": [f"{P}:final/{at}#named" for at in finals], "finals": judged,
            },
            params={**named, "settings": K.frontier, **SEED},
        ),
        Step(
            name=f"{P}:release", doc="2.10 The chosen files, and their packs for download",
            run=f"{T['release']}:release", writes={"files": "files/"}, gates=("chosen_packs_wrong",),
            reads={"table": f"{P}:frontier#table", "ggufs": candidates["ggufs"]},
            params={"names": list(files), "settings": K.pack, **THREADS},
        ),
        *(Step(
            name=f"{P}:pack/{name.lower()}", doc=f"2.11 Pack for download: {name}", run=f"{T['pack']}:pack",
            reads={"gguf": f"{P}:gguf/{name.lower()}#gguf"}, writes={"packed": "model.pack"},
            params={"settings": K.packing(name), **THREADS},
        ) for name, _, _ in K.packed),
        *(Step(
            name=f"{P}:unpack/{name.lower()}", doc=f"2.11 The same bytes come out again: {name}",
            run=f"{T['pack']}:unpack", gates=("unpacked_identical",), params={"max_bytes": K.pack.max_file_bytes},
            reads={"gguf": f"{P}:gguf/{name.lower()}#gguf", "packed": f"{P}:pack/{name.lower()}#packed"},
        ) for name, _, _ in K.packed),
        Step(
            name=f"{P}:pack-table", doc="2.11 What zeros are worth once they are coded, by type",
            run=f"{T['pack']}:compare", writes={"table": "packs.json"},
            reads={"packs": [f"{P}:pack/{name.lower()}#metrics" for name, _, _ in K.packed]},
            params={
                "names": [name for name, _, _ in K.packed], "models": [base for _, base, _ in K.packed],
                "kinds": [kind for _, _, kind in K.packed], "dense": "dense", "chosen": K.pack.chosen,
                "goal": K.files.smaller,
            },
        ),
        Step(
            name=f"{P}:ask", doc="2.12 The parent answers the calibration split", writes={"results": "results.jsonl"},
            run="tasks.phase1d_distillation:regression", params=asking, **ON_DEVICE,
            reads={"model": model, "tokenizer": model, "rows": f"{P}:divide#asked", **FIXTURES},
        ),
        Step(
            name=f"{P}:trace", doc="2.12 How sure it was of every token of its answers", preload=True,
            run=f"{T['calibrate']}:trace", writes={"traces": "traces.jsonl"},
            reads={"model": model, "rows": f"{P}:divide#asked", "results": f"{P}:ask#results"},
            params={"settings": K.trace, "dtype": C.evaluate.engine.dtype, **THREADS},
            gates=("trace_retokenised", "trace_first_gap_nats"),
        ),
        Step(
            name=f"{P}:calibrate", doc="2.12 From its certainty to the chance that it is right",
            run=f"{T['calibrate']}:calibrate",
            reads={"judged": f"{P}:divide#judge", "results": f"{P}:ask#results", "traces": f"{P}:trace#traces"},
            writes={"confidence": "confidence.json", "calibration": "calibration.json", "picture": "reliability.svg"},
            params={"settings": K.calibrate, **SEED},
        ),
        Step(
            name=f"{P}:recover/decode", doc=f"2.13 The weights that the file {K.files.recovered} really holds",
            run=f"{T['recover']}:decode", writes={"model": "model/"}, preload=True,
            reads={"gguf": f"{P}:gguf/{K.files.recovered.lower()}#gguf", "like": model},
            params={"name": f"decoded-{K.files.recovered.lower()}"},
        ),
        Step(
            name=f"{P}:recover/learn", doc="2.13 An adapter for it, on the rows that it finds hardest", **ON_DEVICE,
            run=f"{T['recover']}:learn", gates=("judged_rows_learnt",),
            reads={
                "model": recovered, "rows": f"{P}:divide#learn", "judged": f"{P}:divide#judge",
                "held_out": f"{tokens}#held_out",
            },
            writes={
                "adapter": "adapter/", "history": "history.jsonl", "curve": "curve.svg", "learnt": "learnt.json",
            },
            params={"settings": K.prune.recover, "train": C.train, **SEED, **THREADS},
        ),
        Step(
            name=f"{P}:recover/{hold}", doc=f"2.13 The adapter for shipping: {hold}", run=f"{T['recover']}:{hold}",
            reads={"model": recovered, "adapter": f"{P}:recover/learn#adapter"}, gates=K.recovery_gates, preload=True,
            writes={"recovered": "model/"} if hold == "merged" else {"gguf": "adapter-f16.gguf"},
            params={} if hold == "merged" else {"name": f"recovery of {K.files.recovered}"},
        ),
        Step(
            name=f"{P}:recover/judge", doc="2.13 What it is worth on rows nobody learnt", preload=True,
            run=f"{T['recover']}:judge", writes={},
            reads={"model": recovered, "adapter": f"{P}:recover/learn#adapter", "rows": f"{P}:divide#judge"},
            params={
                "settings": K.prune.recover, "train": C.train, "resamples": K.frontier.resamples, **SEED, **THREADS,
            },
        ),
    )  # fmt: skip
