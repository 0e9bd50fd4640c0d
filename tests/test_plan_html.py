"""`ftc plan --format html`: what a reader of the page finds on it, and what the page must not do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from page_reader import Page, contrast, foreign
from plans import A100_40, CPU, a_plan

from compiler.build import Compiled
from compiler.memory import weigh
from compiler.report.alternatives import Option
from compiler.report.html_bars import phase_chart
from compiler.report.html_fitting import fitting, resized
from compiler.report.html_page import SHARED
from compiler.report.html_plan import plan_html
from compiler.report.plan_data import plan_report
from schemas.diagnostic import Diagnostic, Span
from schemas.footprint import Footprint, Live, Stack
from schemas.plan import Decision, Plan

STACKS: tuple[Stack, ...] = ("native", "axolotl", "llamafactory", "unsloth", "peft")


def compiled(plan: Plan, stack: Stack = "native", **changes: object) -> Compiled:
    """A plan as the pipeline hands it on."""
    footprint = replace(weigh(plan, stack), **changes)
    return Compiled("r.ftc.yaml", None, plan, footprint, None, ())


def options(plan: Plan) -> list[Option]:
    return [Option(stack, plan.hardware.gpu, compiled(plan, stack)) for stack in STACKS]


LARGE = a_plan(method="qlora", micro=4, length=4096, loss="chunked", gpu=A100_40, validation=0.1)
CASES = {
    "fits": LARGE,
    "does not fit": a_plan(method="full", gpu=A100_40),
    "no card": a_plan(gpu=None),
    "a cpu": a_plan("Qwen/Qwen2.5-0.5B", length=300, micro=3, gpu=CPU),
    "several cards": a_plan(method="full", count=8, strategy="fsdp"),
}


def figures(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """Every size of the JSON that is not zero."""
    if isinstance(value, dict):
        for key, item in value.items():
            sized = name in ("parts", "phases") or key.endswith(("_gib", "saved_bytes", "parameters"))
            yield from figures(item, key if not isinstance(item, float | int) or sized else "")
    elif isinstance(value, list):
        for item in value:
            yield from figures(item, name)
    elif name and isinstance(value, float | int) and not isinstance(value, bool) and value:
        yield name, value


@pytest.mark.parametrize("plan", CASES.values(), ids=CASES)
def test_the_page_is_well_formed_and_says_what_the_json_says(plan: Plan) -> None:
    one = compiled(plan)
    page = Page(plan_html(one, "native", options(plan)))
    assert page.open == []
    report = plan_report(one, "native", options(plan))
    sizes = dict(figures({key: report[key] for key in ("memory", "trained", "fixes")}))
    assert len(sizes) >= 10
    assert {name: size for name, size in sizes.items() if size not in page.figures} == {}
    for phase, parts in report["memory"]["parts_by_phase"].items():  # type: ignore[index]
        assert all(size in page.figures for size in parts.values() if size), phase
    for item in report["alternatives"]:  # type: ignore[union-attr]
        assert {item["as_planned"][key] for key in ("device_gib", "low_gib", "high_gib")} <= page.figures


@pytest.mark.parametrize("plan", CASES.values(), ids=CASES)
def test_the_page_needs_nothing_from_outside(plan: Plan) -> None:
    text = plan_html(compiled(plan), "native", options(plan))
    assert foreign(text) == []
    assert not re.search(r"https?:|//|@import|url\(", text)


def test_the_page_is_the_same_every_time() -> None:
    assert plan_html(compiled(LARGE), "native", options(LARGE)) == plan_html(compiled(LARGE), "native", options(LARGE))


def test_what_users_write_is_text() -> None:
    evil = '<script>alert(1)</script>" onload="x&amp;\x1b[2J'
    plan = replace(
        LARGE,
        name=evil,
        output=replace(LARGE.output, dir=f"/{evil}"),
        decisions=(Decision("model.base", evil, evil),),
    )
    found = Diagnostic("FTC201", "warning", evil, evil, Span(1, 1, 1, 2), evil, evil)
    live = (Live("logits", evil, evil, evil, 1, 1 << 30),)
    one = replace(compiled(plan, live=live), diagnostics=(found,))
    text = plan_html(one, "native", [])
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if "onload" in attributes]
    assert "\x1b" not in text
    assert page.words.count("<script>alert(1)</script>") >= 10


def cells(page: Page) -> dict[tuple[int, int], dict[str, str]]:
    found = [values for tag, values in page.tags if tag == "td" and "data-length" in values]
    return {(int(values["data-length"]), int(values["data-micro"])): values for values in found}


@pytest.mark.parametrize("plan", CASES.values(), ids=CASES)
def test_the_table_of_what_fits_is_weighed(plan: Plan) -> None:
    page = Page(plan_html(compiled(plan), "native", []))
    shown = cells(page)
    own = (plan.data.max_length, plan.training.micro_batch_size)
    assert {micro for _, micro in shown} >= {1, 2, 4, 8, 16}
    assert max(length for length, _ in shown) <= plan.facts.context
    assert [key for key, values in shown.items() if values.get("aria-current")] == [own]
    for (length, micro), values in shown.items():
        expected = weigh(resized(plan, length, micro), "native")
        assert values["class"].split()[0] == expected.verdict
        assert round(expected.device / 2**30, 4) in page.figures


def test_the_framed_cell_is_the_plan() -> None:
    [own] = [cell for row in fitting(LARGE, "native").rows for cell in row if cell.own]
    assert own.footprint == weigh(LARGE, "native")


def test_other_cells_change_rows_only() -> None:
    """Evaluation follows where it was open, and a step stays a whole number of forward passes on all devices."""
    plan = replace(CASES["several cards"], decisions=(Decision("evaluation.batch_size", 1, "as in training"),))
    changed = resized(plan, 1024, 4)
    assert (changed.data.max_length, changed.training.micro_batch_size, changed.evaluation.batch_size) == (1024, 4, 4)
    assert changed.training.global_batch_size == 32
    assert changed.accumulation == 1
    assert resized(LARGE, 1024, 16).evaluation.batch_size == LARGE.evaluation.batch_size


@pytest.mark.parametrize("plan", CASES.values(), ids=CASES)
def test_bars_are_as_long_as_what_they_show(plan: Plan) -> None:
    footprint = weigh(plan, "native")
    chart = phase_chart(footprint)
    *phases, whole = chart.bars
    assert whole.total == footprint.device
    assert max(bar.total for bar in phases) == footprint.allocated + footprint.parts.context
    for bar in chart.bars:
        assert sum(segment.amount for segment in bar.segments) == bar.total
        assert bar.segments[-1].start + bar.segments[-1].width <= 100
        assert bar.words.startswith(bar.label)


def test_a_footprint_without_parts_by_phase_has_bars_of_one_piece() -> None:
    footprint = replace(weigh(LARGE, "native"), by_phase={})
    bar = phase_chart(footprint).bars[0]
    assert [segment.name for segment in bar.segments] == ["live", "context"]
    assert "live tensors" in Page(plan_html(compiled(LARGE, by_phase={}), "native", [])).words


def test_every_bar_has_a_text_alternative() -> None:
    page = Page(plan_html(compiled(LARGE), "native", options(LARGE)))
    images = [values["aria-label"] for tag, values in page.tags if values.get("role") == "img"]
    footprint: Footprint = weigh(LARGE, "native")
    assert (
        len(images) == sum(1 for name in ("load", "step", "optimizer", "eval") if getattr(footprint.phases, name)) + 6
    )
    assert any(words.startswith("forward and backward: ") and "weights" in words for words in images)


def test_the_largest_things_at_the_peak_are_listed() -> None:
    live = (Live("activations", "model.layers.*.mlp.up_proj", "bfloat16[4, 4096, 14336]", "aten.mm", 32, 7 << 30),)
    words = Page(plan_html(compiled(LARGE, live=live), "native", [])).words
    assert "Largest things alive at the peak" in words
    assert "model.layers.*.mlp.up_proj" in words
    assert "Largest things" not in Page(plan_html(compiled(LARGE), "native", [])).words


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(scheme: int) -> None:
    """WCAG AA: 4.5 to 1 for text; names stand in the segments of bars."""
    block = re.findall(r":root \{(.*?)\}", Path(SHARED / "base.css").read_text("utf-8"), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    parts = ("weights", "adapters", "gradients", "optimizer", "activations", "logits", "workspace", "context")
    pairs = [("ink", "sheet"), ("ink", "page"), ("quiet", "sheet"), ("quiet", "page"), ("not", "sheet")]
    pairs += [("on-part", part) for part in (*parts, "fragmentation", "live")]
    pairs += [(mark, f"{mark}-soft") for mark in ("fits", "tight", "not", "unknown")]
    pairs += [("ink", f"{mark}-soft") for mark in ("fits", "tight", "not", "unknown")]
    for first, second in pairs:
        assert contrast(colours[first], colours[second]) >= 4.5, (first, second)


def test_the_command_writes_the_page_alone() -> None:
    """Of a plan that does not fit too: the page to stdout, and the exit code that says so."""
    recipe = Path(__file__).parents[1] / "recipes" / "llama3.1-70b-qlora-rtx4090.ftc.yaml"
    command = [sys.executable, "-m", "compiler.cli", "plan", recipe, "--format", "html", "--stack", "all"]
    done = subprocess.run(command, cwd=recipe.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout.startswith("<!DOCTYPE html>\n")
    assert done.stdout.endswith("</html>\n")
    assert "Stacks side by side" in done.stdout
    assert "Cheapest changes" in done.stdout
