"""What `make conformance` compares with: all pairs of settings are covered, and differences are seen."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from comparing import Difference, Sight, compare, compare_rows
from environments import BY_NAME
from hypothesis import given
from hypothesis import strategies as st
from judging import EXCUSED, excuse
from launch import commands, launched
from pairwise import Cover, Row, pairs_of
from parameters import NEEDS, PARAMETERS, base, sets
from samples import write
from spoiling import SPOILS, Spoil, is_seen

from backends.native.data import IGNORED
from compiler.build import Compiled, Options, compile_recipe
from schemas.artifact import Artifact, Target
from schemas.plan import leaves

SIGHT = Sight(ordered=True, masked=True, cut=True, written="model.chat_template", shortened="data.overlong")

# --- pairs


@given(st.lists(st.integers(2, 4), min_size=2, max_size=5), st.sets(st.integers(0, 200), max_size=12))
def test_every_two_values_stand_together_or_are_refused_together(sizes: list[int], refused: set[int]) -> None:
    domains = {f"p{number}": [str(value) for value in range(size)] for number, size in enumerate(sizes)}
    values = [(name, value) for name, items in domains.items() for value in items]
    pairs = [frozenset(pair) for pair in combinations(values, 2) if pair[0][0] != pair[1][0]]
    first = {(name, items[0]) for name, items in domains.items()}
    # The default stands in every row that nothing else is asked of, so that it must build with each value alone.
    wrong = {pairs[number % len(pairs)] for number in refused if not pairs[number % len(pairs)] & first}

    def build(row: Row) -> str | None:
        return "refused" if pairs_of(row) & wrong else None

    array = Cover(domains, {}, build, seed=1).rows()
    assert all(build(row) is None for row in array.rows)
    covered = {pair for row in array.rows for pair in pairs_of(row)}
    assert covered | array.refused_pairs.keys() == set(pairs)
    assert array.refused_pairs.keys() == wrong


def test_a_value_that_does_not_build_alone_gets_what_it_needs() -> None:
    """The first of what it may need that helps; two that need different values of a third are refused together."""
    domains = {name: ["0", "1"] for name in "abcd"}
    needs: dict[tuple[str, str], tuple[Row, ...]] = {
        ("a", "1"): ({}, {"c": "1"}),
        ("b", "1"): ({"c": "0"},),
        ("d", "1"): ({}, {"c": "1"}),
    }

    def build(row: Row) -> str | None:
        wrong = row["d"] == "1" or (row["a"] == "1" and row["c"] == "0") or (row["b"] == "1" and row["c"] == "1")
        return "refused" if wrong else None

    array = Cover(domains, needs, build, seed=1).rows()
    assert not [row for row in array.rows if build(row)]
    assert array.refused_values.keys() == {("d", "1")}
    together = [{("a", "1"), ("b", "1")}, {("a", "1"), ("c", "0")}, {("b", "1"), ("c", "1")}]
    assert array.refused_pairs.keys() == set(map(frozenset, together))
    assert array.covered + len(array.refused_pairs) == array.pairs


# --- fields


@pytest.mark.parametrize(
    ("planned", "found", "seen"),
    [
        (2e-4, 2e-4 + 1e-12, False),
        (2e-4, 3e-4, True),
        (1, True, True),
        (None, 0, True),
        ([0.9, 0.999], (0.9, 0.999), False),
        (["q_proj"], ["q_proj", "v_proj"], True),
        ("offload", True, True),
    ],
)
def test_a_field_that_differs_is_seen(planned: object, found: object, seen: bool) -> None:
    assert bool(list(compare({"field": planned}, {"field": found}, {}))) == seen


def test_a_field_that_is_not_shown_needs_a_reason() -> None:
    assert [item.field for item in compare({"field": 1}, {}, {})] == ["field"]
    reason = {"field": "nobody knows it before the run"}
    assert not list(compare({"field": 1}, {}, reason))
    assert [item.field for item in compare({"field": 1}, {"field": 1}, reason)] == ["field"]


@pytest.mark.parametrize(
    ("field", "found", "leaf"),
    [
        ("hardware.count.average", False, "hardware.count"),
        ("hardware.count", 1, None),
        ("training.seed", 7, None),
        ("training.global_batch_size", 2, None),
        ("output.merge", False, "output.merge"),
        ("output.merge", "twice", None),
        ("data.loss_on", "boats", "data.loss_on"),
    ],
)
def test_a_warning_excuses_what_it_is_about_and_nothing_else(field: str, found: object, leaf: str | None) -> None:
    warned = (*EXCUSED["axolotl"], "training.seed", "training.global_batch_size")
    item = Difference(field, "planned", found)
    assert excuse(item, "axolotl", warned).excused == leaf
    assert excuse(item, "axolotl", ()).excused is None


# --- rows


def row(number: int, *, trained: int = 2, text: str = "boats") -> dict[str, Any]:
    ids = [number, 7, 8, 9]
    labels = [IGNORED] * (4 - trained) + ids[4 - trained :]
    return {"ids": ids, "labels": labels, "text": f"<messages-{number}> {text}", "trained": str(labels)}


ROWS = [row(1), row(2), row(3)]


@pytest.mark.parametrize(
    ("found", "field"),
    [
        (ROWS[:2], "rows"),
        ([ROWS[1], ROWS[0], ROWS[2]], "data.shuffle.order"),
        ([row(1, trained=3), *ROWS[1:]], "data.loss_on"),
        ([{**ROWS[0], "ids": [1, 7, 8, 5]}, *ROWS[1:]], "model.chat_template"),
        ([*ROWS, {**row(4), "text": "the rest of a long row"}], "data.overlong"),
    ],
)
def test_rows_that_differ_are_seen(found: list[dict[str, Any]], field: str) -> None:
    assert [item.field for item in compare_rows("rows", ROWS, found, SIGHT)] == [field]
    assert not list(compare_rows("rows", ROWS, ROWS, SIGHT))


def test_rows_without_marks_are_known_by_their_texts() -> None:
    plain = [{**item, "text": item["text"].partition("> ")[2] + str(number)} for number, item in enumerate(ROWS)]
    assert not list(compare_rows("rows", plain, plain, SIGHT))
    other = [{**plain[0], "labels": [IGNORED] * 4, "trained": ""}, *plain[1:]]
    assert [item.field for item in compare_rows("rows", plain, other, SIGHT)] == ["data.loss_on"]


# --- artifacts


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes' rows, and one base for all of which there is no more than the compiler reads."""
    place = tmp_path_factory.mktemp("conformance")
    write(place / "data")
    shipped = Path(__file__).parents[1] / "recipes" / "quickstart" / "base"
    (place / "bases").mkdir()
    for name in ("bfloat16", "float16", "float32", "chatml-bfloat16"):
        (place / "bases" / name).symlink_to(shipped)
    return place


def compiled(ground: Path, *changes: str, target: Target | None = None) -> Compiled:
    recipe = base(ground / "bases", ground / "data", ground / "runs")
    options = Options(target=target, sets=changes, emit=True, ignore_memory=True, allow_lossy=True)
    return compile_recipe("recipe.yaml", recipe, ground, options)


def built(target: Target, ground: Path, *changes: str) -> Artifact:
    made = compiled(ground, *changes, target=target)
    assert made.artifact, made.diagnostics
    return made.artifact


CASES = [(target, item) for target, items in SPOILS.items() for item in items]


@pytest.mark.parametrize(("target", "item"), CASES, ids=[f"{target}-{item.name}" for target, item in CASES])
def test_what_is_spoiled_stands_in_artifacts_of_today(target: Target, item: Spoil, ground: Path) -> None:
    assert item.old in built(target, ground).files[BY_NAME[target].body]


@pytest.mark.parametrize("item", [item for _, item in CASES], ids=[f"{target}-{item.name}" for target, item in CASES])
def test_another_reason_than_what_was_spoiled_proves_nothing(item: Spoil) -> None:
    assert not is_seen(item, ["the checker gave no answer in time", "model.chat_template: planned 'a', found 'b'"])
    assert is_seen(item, ["something else", f"line 7: {item.word}planned 1, found 2"])


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
@pytest.mark.parametrize(
    ("name", "processes"), [("one", (1, 1)), ("ddp", (2, 1)), ("fsdp", (2, 1)), ("machines", (2, 2))]
)
def test_processes_are_read_out_of_every_kind_of_command(
    target: Target, name: str, processes: tuple[int, int], ground: Path, tmp_path: Path
) -> None:
    """Of one machine, and how many machines."""
    artifact = built(target, ground, *PARAMETERS["cards"][name])
    for file, text in artifact.files.items():
        (tmp_path / file).write_text(text)
    found = launched(commands(artifact), tmp_path)
    assert (found["hardware.count"], found["hardware.nodes"]) == processes


CHOICES = [(name, value) for name, values in PARAMETERS.items() for value in list(values)[1:]]


def test_the_first_value_of_each_parameter_says_nothing() -> None:
    assert not [name for name, values in PARAMETERS.items() if next(iter(values.values()))]


@pytest.mark.parametrize(("name", "value"), CHOICES, ids=[f"{name}-{value}" for name, value in CHOICES])
def test_every_value_changes_the_plan(name: str, value: str, ground: Path) -> None:
    """By another value of a leaf, or by saying what was left to the compiler."""
    default = {name: next(iter(values)) for name, values in PARAMETERS.items()}

    def decided(row: Row) -> list[object]:
        said = sets(row, ground / "bases", ground / "data")
        assert not any("@" in item for item in said)
        plan = compiled(ground, *said).plan
        return [leaves(plan), {item.path for item in plan.decisions}] if plan else []

    rows = [{**default, **needed} for needed in NEEDS.get((name, value), ({},))]
    changed = [decided({**row, name: value}) for row in rows]
    assert any(changed)
    assert all(found != decided(row) for found, row in zip(changed, rows, strict=True) if found)
