"""What `make conformance` compares with: all pairs of settings are covered, and differences are seen."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from comparing import IGNORED, Sight, compare, compare_rows
from hypothesis import given
from hypothesis import strategies as st
from launch import commands, launched
from pairwise import Cover, Row, pairs_of
from parameters import PARAMETERS, base, sets
from samples import write
from spoiling import SPOILS, Spoil

from compiler.build import Options, compile_recipe
from schemas.artifact import Artifact, Target

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
    assert not list(compare({"field": 1}, {}, {"field": "nobody knows it before the run"}))


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
    """The base recipe's rows, and a base of which there is no more than the compiler reads."""
    place = tmp_path_factory.mktemp("conformance")
    write(place / "data")
    shipped = Path(__file__).parents[1] / "recipes" / "quickstart" / "base"
    (place / "bases").mkdir()
    (place / "bases" / "bfloat16").symlink_to(shipped)
    return place


def built(target: Target, ground: Path, *changes: str) -> Artifact:
    recipe = base(ground / "bases", ground / "data", ground / "runs")
    options = Options(target=target, sets=changes, emit=True, ignore_memory=True, allow_lossy=True)
    made = compile_recipe("recipe.yaml", recipe, ground, options)
    assert made.artifact, made.diagnostics
    return made.artifact


CASES = [(target, item) for target, items in SPOILS.items() for item in items]


@pytest.mark.parametrize(("target", "item"), CASES, ids=[f"{target}-{item.name}" for target, item in CASES])
def test_what_is_spoiled_stands_in_artifacts_of_today(target: Target, item: Spoil, ground: Path) -> None:
    assert item.old in built(target, ground).files[item.body]


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


def test_every_value_of_a_row_is_said() -> None:
    chosen = {name: list(values)[-1] for name, values in PARAMETERS.items()}
    said = sets(chosen, Path("/bases"), Path("/data"))
    assert sum(len(PARAMETERS[name][value]) for name, value in chosen.items()) == len(said)
    assert not any("@" in item for item in said)
