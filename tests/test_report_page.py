"""The page of a run: written by real runs of tiny models, and what it says of runs of all kinds."""

from __future__ import annotations

import html
import json
import re
import signal
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from native_base import COLORS, Ground, lora, make_plan, source, write_artifact, write_rows

from backends.native.amounts import short
from backends.native.curves import LISTED, MOST, Axis, Limit, Mark, Series, chart, smoothed, thinned
from backends.native.pace import Pace, clock
from backends.native.page import Told, page, text
from schemas.method_plan import LoraPlan
from schemas.plan import Decision, Plan, PreferencePlan

RECIPE = """\
version: 1  # </pre><script>alert("recipe")</script> & more
name: cars
"""
LOCK = {"ftc": "9.9.9", "recipe": {"file": "cars.ftc.yaml", "set": ["training.max_steps=12"]}, "lost": ["<b>lost</b>"]}
NAN, INFINITE = float("nan"), float("inf")
DECIDED = Decision("training.betas", (0.9, 0.999), "the <usual> ones")


def train_here(plan: Plan, folder: Path, *options: str) -> int:
    from backends.native import train

    artifact = write_artifact(plan, folder)
    (artifact / "recipe.ftc.yaml").write_text(RECIPE, "utf-8")
    (artifact / "ftc.lock.json").write_text(json.dumps(LOCK), "utf-8")
    return train.main(["--plan", str(artifact / "plan.json"), *options])


def out(plan: Plan) -> Path:
    return Path(plan.output.dir)


def page_of(plan: Plan) -> str:
    return (out(plan) / "report.html").read_text("utf-8")


def kept(plan: Plan, name: str) -> Any:
    return json.loads((out(plan) / name).read_text("utf-8"))


def metrics(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out(plan) / "metrics.jsonl").read_text("utf-8").splitlines()]


class Read(HTMLParser):
    """The page as a tree is not needed: its elements, their attributes, and the text under each heading."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._heading = ""
        self._in: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)
        if tag == "h2":
            self._heading = ""
        if tag == "tr":
            self.tables.setdefault(self._heading, []).append([])
        if tag in ("td", "th"):
            self.tables[self._heading][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = next((tag for tag in reversed(self._in) if tag in ("h2", "style", "td", "th")), None)
        if inside == "h2":
            self._heading += data
        elif inside != "style":
            self.sections[self._heading] = self.sections.get(self._heading, "") + data
        if inside in ("td", "th"):
            self.tables[self._heading][-1][-1] += data


@pytest.fixture(scope="module")
def run(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A run that has come to its end."""
    folder = tmp_path_factory.mktemp("run")
    made = make_plan(ground.base, source(ground.rows), folder / "out", logging={"every": 1}, decisions=(DECIDED,))
    assert train_here(made, folder / "artifact") == 0
    return made


def test_the_page_asks_for_nothing_and_runs_nothing(run: Plan) -> None:
    said = page_of(run)
    read = Read(said)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in read.elements}
    names = {name for _, attributes in read.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "srcset")}
    assert "default-src 'none'" in said
    assert "url(" not in said
    assert not re.search(r"https?://", said)
    assert said.count("<html") == said.count("</html>") == 1


def test_it_says_whether_it_learnt_and_what_it_cost(run: Plan) -> None:
    read, summary = Read(page_of(run)), kept(run, "summary.json")
    first, last = (f"{summary['loss'][name]:.4g}" for name in ("first_validation", "last_validation"))
    assert f"validation loss {first} → {last}" in read.sections["finished, and learnt"]
    tiles = read.sections["finished, and learnt"]
    for words in ("tokens a second", "main memory", "planned 1.00 GiB", "12 steps"):
        assert words in tiles


def test_the_last_steps_are_told_however_few(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(logging={"every": 10}, training={"max_steps": 3}, evaluation={"every": None})
    assert train_here(made, tmp_path / "artifact") == 0
    said = capsys.readouterr().out
    summary = kept(made, "summary.json")
    (line,) = map(json.loads, (Path(made.output.dir) / "metrics.jsonl").read_text().splitlines())
    assert (line["step"], line["tokens"], line["loss"]) == (3, summary["tokens"], summary["loss"]["last"])
    assert summary["tokens_per_second"] > 0
    assert f"  loss         {line['loss']:.4f}\n" in said
    tiles = Read(page_of(made)).sections
    assert any(f"{summary['tokens']:,}" in words and "in 3 steps" in words for words in tiles.values())


def test_curves_are_the_metrics(run: Plan) -> None:
    """Every line of metrics.jsonl stands in the table of the losses, as there are few."""
    rows = {row[0]: row[1:] for row in Read(page_of(run)).tables["Loss"][1:]}
    found = {f"{line['step']}": f"{line['loss']:.4g}" for line in metrics(run) if "loss" in line}
    watched = {f"{line['step']}": f"{line['eval_loss']:.4g}" for line in metrics(run) if "eval_loss" in line}
    assert {step: row[0] for step, row in rows.items()} == found
    assert {step: row[1] for step, row in rows.items() if row[1]} == watched
    assert len(watched) == 2


def test_held_out_rows_are_answered_before_and_after(run: Plan) -> None:
    told = kept(run, "samples.json")
    assert told["part"] == "validation"
    assert len(told["rows"]) == 4
    assert told["note"] is None
    colours = {f"car {number}?": COLORS[number % len(COLORS)] for number in range(96)}
    for row in told["rows"]:
        question = next(each for each in colours if f"\n{each}<" in row["prompt"])
        assert row["wanted"].removesuffix("<|eot_id|>") == colours[question]
        assert row["prompt"].endswith("assistant<|end_header_id|>\n\n")
    assert [row["before"]["text"] for row in told["rows"]] != [row["after"]["text"] for row in told["rows"]]
    assert any(row["after"]["ended"] for row in told["rows"])
    said = Read(page_of(run)).sections["Answers before and after"]
    assert "4 rows of validation, which it never learnt from" in said
    assert all(row["after"]["text"] in said for row in told["rows"])
    assert said.count("as in the row") == sum(row["after"]["text"] == row["wanted"] for row in told["rows"])


def test_memory_is_planned_and_measured_by_phase(run: Plan) -> None:
    rows = {row[0]: row[2:] for row in Read(page_of(run)).tables["Memory, planned and measured"] if len(row) == 5}
    assert rows["forward and backward"][0] == "0.50 GiB"
    assert {"load", "optimizer's step", "evaluation", "answering", "saving"} <= set(rows)
    assert all(row[1] != "–" for name, row in rows.items() if name != "phase")
    # A process that has run for long has memory to spare, and takes none for a model as small as this.
    assert rows["forward and backward"][2].startswith("× ") or rows["forward and backward"][1] == "0 MiB"
    phases = kept(run, "summary.json")["memory"]["phases"]
    assert 0 <= phases["step"] < 4  # as above
    lines = metrics(run)
    assert all({"step", "optimizer"} <= set(line["memory_phases_gib"]) for line in lines if "loss" in line)
    assert all("eval" in line["memory_phases_gib"] for line in lines if "eval_loss" in line)


def test_recipe_decisions_data_and_versions_are_there_as_text(run: Plan) -> None:
    said = page_of(run)
    written = re.findall(r"<pre[^>]*aria-label=\"Recipe[^>]*>(.*?)</pre>", said, re.DOTALL)
    assert [html.unescape(found) for found in written] == [RECIPE]
    read = Read(said)
    recipe = read.sections["Recipe"]
    for words in ("cars.ftc.yaml", "--set training.max_steps=12", "<b>lost</b>", "the <usual> ones", "learning_rate"):
        assert words in recipe
    assert ["read", "80", "16"] in read.tables["Data"]
    assert ["torch", kept(run, "summary.json")["versions"]["torch"]] in read.tables["Made with"]
    assert ["ftc, which wrote the run", "9.9.9"] in read.tables["Made with"]
    assert read.tables["History"][1][1::2] == ["new", "12"]


@pytest.mark.parametrize("method", [lora(dropout=0.1), lora("qlora")], ids=lambda method: method.kind)
def test_asking_changes_nothing_that_is_learnt(
    method: LoraPlan, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and weights are those of a run that asked nothing, bit for bit, dropout included."""
    from backends.native import samples

    def trained(name: str) -> tuple[list[float], bytes]:
        made = make_plan(ground.base, source(ground.rows), tmp_path / name, method=method, training={"max_steps": 6})
        assert train_here(made, tmp_path / f"{name}-artifact") == 0
        losses = [line["loss"] for line in metrics(made) if "loss" in line]
        return losses, (out(made) / "adapter" / "adapter_model.safetensors").read_bytes()

    asked = trained("asked")
    monkeypatch.setattr(samples, "questions", lambda _: [])
    assert trained("unasked") == asked


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM comes when this step is told of: the next one is the last."""
    from backends.native.report import Reporter

    tell = Reporter.on_log

    def stopping(self: Reporter, args: Any, state: Any, *more: Any, **named: Any) -> None:
        tell(self, args, state, *more, **named)
        if state.global_step == step:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Reporter, "on_log", stopping)


def test_a_stopped_run_has_a_page_and_a_continued_one_tells_of_both(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(logging={"every": 1}, evaluation={"every": None})
    with monkeypatch.context() as patch:
        stop_at(4, patch)
        assert train_here(made, tmp_path / "artifact") == 128 + signal.SIGTERM
    read, told = Read(page_of(made)), kept(made, "samples.json")
    assert "stopped at step 5 of 12" in read.sections
    assert read.tables["History"][1][3] == "5"
    assert all("before" in row and "after" not in row for row in told["rows"])
    assert train_here(made, tmp_path / "artifact") == 0
    read, after = Read(page_of(made)), kept(made, "samples.json")
    assert [row["before"] for row in after["rows"]] == [row["before"] for row in told["rows"]]
    assert all("after" in row for row in after["rows"])
    started, continued = read.tables["History"][1:]
    assert (started[1], started[3], continued[1], continued[3]) == ("new", "5", "5", "12")
    assert "finished" in continued[4]
    assert "continued after step 5" in page_of(made)
    rows = [row[0] for row in read.tables["Loss"][1:]]
    assert rows == [str(step) for step in range(1, 13)]
    assert train_here(made, tmp_path / "artifact", "--fresh") == 0
    assert len(Read(page_of(made)).tables["History"]) == 2


def test_a_run_that_fails_says_so_on_its_page(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(training={"learning_rate": 1e30}, logging={"every": 1})
    assert train_here(made, tmp_path / "artifact") == 1
    read = Read(page_of(made))
    heading = next(name for name in read.sections if name.startswith("ended by an error at step"))
    assert "the loss of step" in read.sections[heading]
    assert "failed" in read.tables["History"][1][4]


def test_damaged_files_beside_the_plan_end_no_run(plan: Callable[..., Plan], tmp_path: Path) -> None:
    from backends.native import train

    artifact = write_artifact(plan(training={"max_steps": 2}), tmp_path / "artifact")
    (artifact / "recipe.ftc.yaml").write_bytes(b"\xff")
    (artifact / "ftc.lock.json").write_text("[]")
    assert train.main(["--plan", str(artifact / "plan.json")]) == 0


def test_a_run_shorter_than_a_line_of_its_log_has_a_loss(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(training={"max_steps": 1}, logging={"every": 10}, evaluation={"every": None})
    assert train_here(made, tmp_path / "artifact") == 0
    loss = kept(made, "summary.json")["loss"]
    assert loss["first"] == loss["last"] > 0
    said = capsys.readouterr().out
    assert "1 step, " in said
    assert f"loss         {loss['last']:.4f}\n" in said
    read = Read(page_of(made))
    assert f"{loss['last']:.4g}" in read.tables["Loss"][1]
    assert "in 1 step\n" in read.sections["finished"]


def test_rows_of_training_are_marked_as_such(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(
        data={"validation": None, "packing": True},
        training={"max_steps": 2, "micro_batch_size": 1, "global_batch_size": 1},
    )
    assert train_here(made, tmp_path / "artifact") == 0
    assert "4 rows of training: there are none held out" in Read(page_of(made)).sections["Answers before and after"]
    # Of a packed row the first document is asked.
    assert all(row["prompt"].count("?") == 1 for row in kept(made, "samples.json")["rows"])


def test_preferences_have_curves_of_their_own(ground: Ground, tmp_path: Path) -> None:
    rows = [{"prompt": f"car {n}?", "chosen": "red", "rejected": "blue"} for n in range(32)]
    made = make_plan(
        ground.base,
        source(write_rows(tmp_path / "rows.jsonl", rows), "preference"),
        tmp_path / "out",
        training={"objective": "dpo", "preference": PreferencePlan(0.1, "sigmoid"), "max_steps": 4},
        data={"validation": 8},
        logging={"every": 1},
        evaluation={"every": 2},
    )
    assert train_here(made, tmp_path / "artifact") == 0
    read = Read(page_of(made))
    margins = [row for row in read.tables["Answers compared"] if row[0] == "4"]
    found = next(line for line in metrics(made) if line["step"] == 4 and "loss" in line)
    assert f"{found['rewards/margins']:.4g}" in margins[0]
    assert "reward margin" in read.sections[next(name for name in read.sections if name.startswith("finished"))]
    assert all(row["wanted"].startswith("red") for row in kept(made, "samples.json")["rows"])


# --- what is said of other runs


def told(**changes: Any) -> Told:
    """A run of which little is known."""
    counts = dict.fromkeys(("read", "kept", "bad", "dropped", "truncated", "split", "untrained", "tokens"), 0)
    plan = {
        "name": "r",
        "model": {"base": "b"},
        "method": {"kind": "full"},
        "data": {"packing": False, "max_length": 8},
        "training": {"objective": "sft", "epochs": 1.0, "max_steps": None, "global_batch_size": 4},
        "checkpoint": {"best": False},
        "hardware": {"count": 2, "nodes": 1, "strategy": "ddp"},
        "output": {"dir": "/nowhere"},
        "derived": {"memory": {}, "card": {"title": "Card", "usd_per_hour": 3.0}, "cpu": False, "decisions": []},
    }
    known: dict[str, Any] = {
        "plan": plan,
        "how": "finished",
        "why": "",
        "step": 10,
        "steps": 10,
        "history": [],
        "about": {
            "plan": "0" * 64,
            "resumed_at": None,
            "rows": {"train": {**counts, "trained_tokens": 0, "longest": 0}},
            "findings": {"train": {}, "validation": {}},
            "packed_rows": None,
            "trained_parameters": 1,
        },
        "memory": {},
        "measured": {},
        "summary": {},
        "samples": None,
        "starts": [{"began": "2026-01-01T00:00:00+00:00", "step": 0}],
        "recipe": None,
        "lock": {},
        "versions": {},
        "written": "2026-01-01T00:00:00+00:00",
        "seconds": 3600.0,
        "speed": 0.0,
        "device": "a card",
    }
    return Told(**{**known, **changes})


def watched(*losses: float) -> list[dict[str, Any]]:
    return [{"step": at + 1, "epoch": 0.1 * at, "eval_loss": loss} for at, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "heading"),
    [
        ((2.0, 1.0), "finished, and learnt"),
        ((2.0, 1.0, 1.01), "finished, and learnt"),
        ((2.0, 1.0, 1.5), "finished, past its best"),
        ((2.0, 1.99), "finished, and learnt nothing"),
        ((1.0, 2.0), "finished, and learnt nothing"),
        ((), "finished"),
        ((0.0, 0.0), "finished, and learnt nothing"),
        ((-1.0, -2.0), "finished, and learnt"),
        ((2.0, NAN), "finished, and its validation loss is no number"),
        ((NAN, NAN), "finished, and its validation loss is no number"),
        ((2.0, INFINITE), "finished, and its validation loss is no number"),
        ((INFINITE, 2.0, 1.0), "finished, and learnt"),
    ],
)
def test_the_verdict(losses: tuple[float, ...], heading: str) -> None:
    assert heading in Read(page(told(history=watched(*losses)))).sections


def test_cards_cost_money_and_have_a_peak() -> None:
    line = {"step": 10, "epoch": 1.0, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": None, "tokens": 10**9}
    said = Read(page(told(history=[line], speed=12345.6, summary={"tflops": 512.3, "of_peak": 0.518})))
    tiles = said.sections["finished"]
    for words in ("about 6.00 USD at 3 an hour and card", "512 TFLOP/s a card, 52% of its peak", "12,346", "1 B"):
        assert words in tiles
    said = Read(page(told(summary={"tflops": None, "of_peak": None}, speed=1.0)))
    assert "TFLOP" not in said.sections["finished"]


def test_what_was_planned_for_a_card_says_nothing_of_a_processor() -> None:
    run = told()
    run.plan["derived"]["memory"] = {"device_gib": 11.0, "low_gib": 10.0, "high_gib": 13.0, "phases": {"step": 9.0}}
    said = page(told(plan=run.plan, device="cpu", measured={"resident_gib": 2.0}, memory={"step": 1.0}))
    for words in ("USD", "interval", "9.00 GiB", "11.00 GiB"):
        assert words not in said


@pytest.mark.parametrize(
    ("taken", "words"),
    [(12.0, "within the plan's interval"), (16.0, "above the plan's interval"), (9.0, "below the plan's interval")],
)
def test_the_plan_is_compared_with_what_was_taken(taken: float, words: str) -> None:
    planned = {"allocated_gib": 9.5, "reserved_gib": 10.5, "device_gib": 11.0, "low_gib": 10.0, "high_gib": 13.0}
    run = told()
    run.plan["derived"]["memory"] = {**planned, "phases": {"load": 4.0, "step": 9.5, "optimizer": 5.0, "eval": 0.0}}
    measured = {"allocated_gib": 9.4, "reserved_gib": 10.0, "device_gib": taken, "resident_gib": 2.0}
    read = Read(page(told(plan=run.plan, memory={"load": 4.1, "step": 9.4}, measured=measured)))
    assert words in read.sections["Memory, planned and measured"]
    rows = {row[0]: row[2:] for row in read.tables["Memory, planned and measured"]}
    assert rows["forward and backward"] == ["9.50 GiB", "9.40 GiB", "× 0.99"]
    assert rows["on the card"][1] == f"{taken:.2f} GiB"
    assert rows["optimizer's step"] == ["5.00 GiB", "–", "–"]


def filled(words: str) -> str:
    """A page with these words wherever words from outside can be."""
    rows = [{"prompt": words, "wanted": words, "before": {"text": words, "ended": False}, "after": None}]
    lock = {"ftc": words, "lost": [words], "recipe": {"file": words, "set": [words]}}
    samples = {"part": "train", "seconds": {}, "rows": rows, "note": words}
    return page(told(samples=samples, recipe=words, why=words, how="failed", lock=lock, device=words))


def test_what_steers_is_shown_as_a_dot_and_all_else_is_text() -> None:
    said = filled("</title></style></pre><script>x</script>\x1b[2J\u202e{{ 7 * 191 }}")
    assert [tag for tag, _ in Read(said).elements] == [tag for tag, _ in Read(filled("fine")).elements]
    assert "1337" not in said
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", said)


def test_settings_read_as_a_recipe_has_them() -> None:
    assert [text(value) for value in (None, True, 0.5, 123456, ["a", "b"], [], {"a": None, "b": 1})] == [
        *("–", "true", "0.5", "123,456", "a, b", "–", "b: 1")
    ]


# --- curves


def made(*series: Series, **how: Any) -> Any:
    return chart("key", "Title", "unit", series, **{"end": 10.0, "shown": str, **how})


@pytest.mark.parametrize(
    "values", [(0.0, 1.0), (3.2, 3.3), (-5.0, 5.0), (7.0, 7.0), (0.0, 0.0), (1e-9, 2e-9), (1, 10**9)]
)
def test_an_axis_has_a_few_round_ticks_around_all_values(values: tuple[float, float]) -> None:
    axis = Axis(values)
    assert 2 <= len(axis.ticks) <= 7
    assert all(-1e-9 <= axis(value) <= 1 + 1e-9 for value in values)
    apart = [after - before for before, after in pairwise(axis.ticks)]
    assert apart == pytest.approx([apart[0]] * len(apart))


@pytest.mark.parametrize("values", [(0.69314718, 0.69314724), (0.6931, 0.69304), (2.3, 2.3 + 4e-16), (0.2, 0.3)])
def test_each_figure_of_an_axis_differs_from_the_next(values: tuple[float, ...]) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]
    words = [tick.words for tick in made(Series("a", "first", points), shown=short).up]
    assert len(set(words)) == len(words)
    assert sorted(words, key=float) == words
    assert max(map(len, words)) <= 8


@pytest.mark.parametrize(("end", "words"), [(1.0, "0 1"), (2.0, "0 1 2"), (7.0, "0 2 4 6")])
def test_there_are_no_halves_of_steps(end: float, words: str) -> None:
    assert " ".join(tick.words for tick in made(Series("a", "first", [(1.0, 1.0)]), end=end).across) == words


def test_an_axis_is_logarithmic_where_values_lie_far_apart_and_it_may_be() -> None:
    far = [10.0, 5.0, 1.0, 0.1, 0.01, 0.004]
    axis = Axis(far, steep=True)
    assert axis.logarithmic
    assert axis.ticks == pytest.approx([0.001, 0.01, 0.1, 1.0, 10.0])
    assert not Axis(far).logarithmic
    assert not Axis([*far, 0.0], steep=True).logarithmic
    assert not Axis([1.0] * 40 + [1000.0], steep=True).logarithmic  # one outlier
    assert len(Axis([1e-20, 1e20], steep=True).ticks) <= 8


def test_many_points_become_a_few_means() -> None:
    points = [(float(at), float(at % 2)) for at in range(10_000)]
    few = thinned(points)
    assert len(few) <= MOST
    assert sum(value for _, value in few) / len(few) == pytest.approx(0.5, abs=0.01)
    assert thinned(points[:MOST]) == points[:MOST]
    assert smoothed(points[:10]) == []
    assert all(0.3 < value < 0.7 for _, value in smoothed(points[:100]))


def test_a_picture_has_its_points_in_place() -> None:
    drawn = made(
        Series("a", "first", [(0.0, 0.0), (5.0, 1.0), (10.0, 2.0)]),
        limits=(Limit(1.0, "l", "s"),),
        marks=(Mark(5, "m"),),
    )
    assert drawn.lines[0].path == "M0.0 1000.0L500.0 500.0L1000.0 0.0"
    assert drawn.limits[0][0] == 50.0
    assert drawn.marks[0][0] == 50.0
    assert drawn.rows == (("0", "0.0"), ("5", "1.0"), ("10", "2.0"))
    assert "a: from 0.0 to 2.0" in drawn.words
    assert sum(each.width for each in drawn.slices) == pytest.approx(100)
    assert [each.words for each in drawn.slices] == ["step 0: a 0.0", "step 5: a 1.0", "step 10: a 2.0"]


def test_points_that_are_no_numbers_are_left_out_and_one_alone_is_a_dot() -> None:
    drawn = made(Series("a", "first", [(1.0, float("nan")), (2.0, float("inf")), (3.0, 7.0)]))
    assert drawn.lines[0].dots == ((30.0, drawn.lines[0].dots[0][1]),)
    assert made(Series("a", "first", [(1.0, float("nan"))])) is None
    assert made() is None


def test_a_long_run_has_a_short_table_with_all_that_is_rare() -> None:
    often = Series("often", "first", [(float(at), 1.0) for at in range(1, 201)])
    rare = Series("rare", "second", [(67.0, 2.0), (133.0, 3.0), (200.0, 4.0)], dots=True)
    drawn = made(often, rare, end=200.0)
    rows = drawn.rows
    assert drawn.mean == 1
    assert len(rows) <= LISTED + 4
    assert [row[2] for row in rows if row[2]] == ["2.0", "3.0", "4.0"]
    assert (rows[0][0], rows[-1][0]) == ("1", "200")
    assert made(Series("long", "first", [(float(at), 1.0) for at in range(MOST * 3)]), end=720.0).mean == 3


def test_what_is_left_is_reckoned_from_the_first_step_on() -> None:
    pace = Pace()
    assert pace.left(10) == ""
    pace.step(100.0, 1)  # took long, as kernels were compiled
    assert pace.left(10) == ""
    for done in range(2, 6):
        pace.step(100.0 + 2 * (done - 1), done)
    assert pace.seconds(10) == 10.0
    assert pace.left(10) == "0:10 left"
    assert [clock(seconds) for seconds in (0, 59.6, 3725)] == ["0:00", "1:00", "1:02:05"]
