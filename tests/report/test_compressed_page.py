"""The sections on compression as they stand on the page of a finished root: figures are those of the steps' files."""

from __future__ import annotations

import msgspec
from page_parser import Page
from smoke_run import Smoke

from lib.report import release


def section(smoke: Smoke, name: str) -> str:
    page = (smoke.root / "report/index.html").read_text()
    start = page.index(f'<section id="{name}">')
    made = Page(page[start : page.index("</section>", start) + len("</section>")])
    assert made.faults == [] and made.unanswered() == []
    return " ".join(made.text.split())


def test_the_page_of_a_finished_root_has_every_file_with_its_figures(smoke: Smoke) -> None:
    text, found = section(smoke, "compressed"), smoke.json("phase2/frontier/frontier.json")
    assert len(found["candidates"]) > 8
    for one in found["candidates"]:
        seen = smoke.json(f"phase2/divergence/{one['name'].lower()}/metrics.json")
        assert f"{one['name']} {one['bytes']:,} {one['bits_per_weight']:.2f} {one['kl']:.3g} " in text
        assert f"{100 * seen['top1']:.1f} % {seen['perplexity_ratio']:.4f}" in text
    assert release.sentence(found, smoke.json("phase2/frontier/metrics.json")) in text
    assert "Compressed is phase 1A's tuned model" in text and text.count("impossible as stated") >= 5
    for path in smoke.root.glob("phase2/gguf/*/metrics.json"):
        numbers = msgspec.json.decode(path.read_bytes())
        counts = f"{numbers['matrices']} {numbers['fallbacks']}"
        assert f"{path.parent.name} {numbers['bits_per_weight']:.2f} {counts} " in text
    assert "awq_reload_max_abs_logit_diff phase2_compress:awq/dense" in text and "Not built yet" not in text


def test_the_page_has_each_variant_the_stages_and_what_recovery_was_worth(smoke: Smoke) -> None:
    text = section(smoke, "pruned")
    variants = [path.parent for path in smoke.root.glob("phase2/prune/*/metrics.json")]
    assert len(variants) > 3
    for folder in variants:
        numbers = msgspec.json.decode((folder / "metrics.json").read_bytes())
        seen = smoke.json(f"phase2/divergence/{folder.name}/metrics.json")
        assert f"{folder.name} {100 * numbers['sparsity']:.3f} %" in text and f"{seen['kl_low']:.3g} … " in text
    stages = smoke.json("phase2/prune/gradual/stages.json")["stages"]
    assert all(f"{at} {one['zeros']:,}" in text for at, one in enumerate(stages, 1))
    assert f"n = {smoke.json('phase2/recover/judge/metrics.json')['n']}" in text and "Not built yet" not in text


def test_the_page_has_packs_beside_the_dense_ones_and_a_confidence_or_why_not(smoke: Smoke) -> None:
    text, table = section(smoke, "packs"), smoke.json("phase2/pack-table/packs.json")
    way = table["chosen"].replace("-", "_")
    for row in table["rows"]:
        packed, share = row["ways"][f"{way}_packed_bytes"], row["ways"][f"{way}_packed_share"]
        saved = f"{100 * row['smaller']:.1f} %" if row["model"] != "dense" else "–"
        name = row["name"].lower()
        assert f"{name} {table['chosen']} {row['bytes']:,} {packed:,} {100 * share:.1f} % {saved} " in text
        assert f"{name} ✓ passed" in text
    numbers, text = smoke.json("phase2/calibrate/metrics.json"), section(smoke, "confidence")
    said = f"n = {numbers['n_judged']}" if numbers["calibrated"] else "No map was made"
    assert said in text
