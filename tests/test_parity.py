"""What `make parity` compares runs with: it must see what differs, and excuse only what the artifact tells of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from parity.compare import Run, compare, out_of_order
from parity.exceptions import EXCUSES, Excuse
from parity.page import HEAD, Found, verdict
from parity.plot import picture
from parity.spoiling import SPOILS, Spoil, Spoiled
from parity.training import WATCH, compiled, recorded
from parity.variants import COMMON, LORA, QUICKSTART_ROWS, ROOT, VARIANTS, rows_of

from backends.native.data import IGNORED
from schemas.artifact import Target

QUESTION, ANSWER = [1, 2, 3], [4, 5]
BATCH = {
    "input_ids": [[*QUESTION, *ANSWER], [9, 4, 0, 0, 0]],
    "labels": [[IGNORED, IGNORED, IGNORED, *ANSWER], [IGNORED, 4, IGNORED, IGNORED, IGNORED]],
    "attention_mask": [[1] * 5, [1, 1, 0, 0, 0]],
}
STEP = [[100.0, 0.003, 0.0, 0.9, 0.999, 1e-8]]
WEIGHT = (100, [0.1, 0.2, 0.3])
NATIVE = Run("native", [4.0, 2.0, 1.0], [BATCH] * 3, [WEIGHT], [STEP] * 3, [1.5, 2.5])
SAME = replace(NATIVE, target="llamafactory")


def what(other: Run) -> list[str]:
    """The comparisons that fail and that nothing excuses; the command then ends 1."""
    found = compare(NATIVE, other)
    broken = [item.what for item in found if item.broken]
    assert verdict([Found("x", "x", [NATIVE, other], found)]) == int(bool(broken))
    return broken


def third(**columns: Any) -> Run:
    """The same run but for its third batch."""
    return replace(SAME, batches=[BATCH, BATCH, {**BATCH, **columns}])


def test_the_same_run_has_no_difference() -> None:
    assert what(SAME) == []


def test_padding_on_the_other_side_is_the_same() -> None:
    left = {
        "input_ids": [[*QUESTION, *ANSWER], [0, 0, 0, 9, 4]],
        "labels": [BATCH["labels"][0], [IGNORED] * 4 + [4]],
        "attention_mask": [[1] * 5, [0, 0, 0, 1, 1]],
    }
    assert what(replace(SAME, batches=[left] * 3)) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (third(**{name: rows[::-1] for name, rows in BATCH.items()}), "batches"),
        (third(labels=[[IGNORED, IGNORED, 3, *ANSWER], BATCH["labels"][1]]), "batches"),
        (third(input_ids=[[*QUESTION, 4, 6], BATCH["input_ids"][1]]), "batches"),
        (third(attention_mask=[[1] * 5, [1, 1, 1, 0, 0]]), "batches"),
        (replace(SAME, batches=[BATCH] * 2), "batches"),
        (replace(SAME, weights=[(100, [0.1, 0.2, 0.4])]), "weights"),
        (replace(SAME, weights=[WEIGHT, WEIGHT]), "weights"),
        (replace(SAME, steps=[STEP, STEP, [[*STEP[0][:1], 0.006, *STEP[0][2:]]]]), "steps"),
        (replace(SAME, steps=[STEP, STEP]), "steps"),
        (replace(SAME, shares=[2.0, 2.0]), "shares"),
        (replace(SAME, shares=[4.0]), "shares"),
        (replace(SAME, losses=[4.05, 2.0, 1.0]), "first loss"),
        (replace(SAME, losses=[4.0, 2.0, 0.96]), "last loss"),
        (replace(SAME, losses=[4.0, 2.0, float("nan")]), "last loss"),
    ],
    ids=[
        "another order",
        "another mask",
        "another token",
        "a padding token seen",
        "too few batches",
        "another beginning",
        "more is trained",
        "another learning rate",
        "a step less",
        "micro batches that weigh the same",
        "a micro batch less",
        "first loss",
        "last loss",
        "no number",
    ],
)
def test_what_differs_is_reported(other: Run, expected: str) -> None:
    assert what(other) == [expected]


def test_a_report_names_the_first_place_that_differs() -> None:
    (found,) = compare(NATIVE, third(labels=[[IGNORED, IGNORED, 3, *ANSWER], BATCH["labels"][1]]))
    assert found.text == "batch 3, row 1: label 3 is 3, natively -100"


def test_losses_within_the_limits_are_the_same() -> None:
    assert what(replace(SAME, losses=[4.03, 9.0, 1.02])) == []


def test_a_number_of_losses_that_is_not_the_same_is_reported() -> None:
    assert what(replace(SAME, losses=[4.0, 2.0])) == ["first loss", "last loss"]


def test_rows_in_another_order_than_the_file_are_reported() -> None:
    assert out_of_order(NATIVE, ["a", "b"], ["a", "b"]) == []
    (found,) = out_of_order(NATIVE, ["a", "b"], ["b", "a"])
    assert found.broken


# --- known differences


@pytest.mark.parametrize("excuse", EXCUSES, ids=lambda excuse: excuse.leaf)
def test_a_known_difference_is_one_only_where_the_artifact_says_so(excuse: Excuse) -> None:
    changed = {"weights": [(100, [9.0])], "shares": [2.0, 2.0], "losses": [4.0, 2.0, 2.0]}
    found = {name: value for name, value in changed.items() if name in excuse.covers or name == "losses"}
    other = replace(SAME, target=excuse.target, **found)
    assert what(other) == [*excuse.covers]
    assert what(replace(other, warned=(excuse.leaf,))) == []
    assert what(replace(other, warned=(excuse.leaf,), corrected=True)) == [*excuse.covers]
    assert what(replace(other, warned=(excuse.leaf,), batches=[BATCH])) == ["batches"]


def test_there_are_at_most_two_known_differences_and_their_artifacts_warn() -> None:
    assert len(EXCUSES) <= 2
    for excuse in EXCUSES:
        several = ("training.micro_batch_size=8",)
        warned = {item.path for item in built(excuse.target, several).diagnostics if item.code == "FTC405"}
        assert excuse.leaf in warned


# --- spoiled artifacts


def built(target: Target, sets: tuple[str, ...] = ()) -> Any:
    """The first variant, as it is trained."""
    return compiled(target, (*COMMON, *LORA, *sets))


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.about)
def test_an_artifact_can_be_spoiled_as_it_is_built_today(spoil: Spoil, tmp_path: Path) -> None:
    (tmp_path / spoil.file).write_text(built(spoil.target).artifact.files[spoil.file], encoding="utf-8")
    spoil.apply(tmp_path)
    assert spoil.new in (tmp_path / spoil.file).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be spoiled"):
        spoil.apply(tmp_path)


def test_a_spoiled_artifact_that_goes_unnoticed_ends_the_command_with_1() -> None:
    order = next(item for item in SPOILS if item.what == "batches")
    unseen = Spoiled(order, compare(NATIVE, SAME))
    seen = Spoiled(order, compare(NATIVE, replace(SAME, batches=[])))
    assert [verdict([Found("x", "x", [NATIVE], [], [item])]) for item in (unseen, seen)] == [1, 0]


# --- what is trained, what is written down, what is drawn


def test_conversations_of_several_turns_end_within_a_step(tmp_path: Path) -> None:
    lines = rows_of(VARIANTS[-1], tmp_path).read_text(encoding="utf-8").splitlines()
    roles = [[turn["role"] for turn in json.loads(line)["messages"]] for line in lines[:4]]
    assert [row.count("assistant") for row in roles] == [1, 2, 3, 1]
    assert [row[0] for row in roles] == ["user", "system"] * 2
    assert len(lines) % 32 % 8
    assert len(QUICKSTART_ROWS.read_text(encoding="utf-8").splitlines()) > 20 * 32


def test_a_run_is_written_down_as_the_trainer_sees_it(tmp_path: Path) -> None:
    """By torch itself: a batch of a data loader, loss and weights before the first step, the settings of each."""
    record = tmp_path / "record.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(WATCH), "FTC_PARITY_RECORD": str(record)}
    subprocess.run([sys.executable, "-c", TRAINS], env=environment, check=True)
    found = recorded(record)
    assert found["batch"] == [{"input_ids": [[1, 2]], "labels": [[IGNORED, 2]]}]
    assert found["weights"] == [[[2, [0.5, 0.5]]]]
    assert found["shares"] == [1.0]
    assert found["step"] == [[[2, 0.01, 0.1, 0.9, 0.999, 1e-08]], [[2, 0.02, 0.1, 0.9, 0.999, 1e-08]]]


TRAINS = """
import torch
from torch.utils.data import DataLoader
row = {"input_ids": torch.tensor([1, 2]), "labels": torch.tensor([-100, 2]), "length": torch.tensor(2)}
for batch in DataLoader([row]):
    weight = torch.nn.Parameter(torch.full((2,), 0.5))
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.1)
    for rate in (0.01, 0.02):
        optimizer.param_groups[0]["lr"] = rate
        weight.sum().backward()
        optimizer.step()
"""


def test_the_picture_has_a_line_for_each_run() -> None:
    drawn = picture([("one", [NATIVE, SAME]), ("two", [NATIVE])])
    assert drawn.count("<polyline") == 3
    assert "llamafactory" in drawn


def test_the_page_is_of_a_run_in_which_nothing_was_broken() -> None:
    page = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
    assert page.startswith(HEAD)
    assert all(f"\n## {variant.name}\n" in page for variant in VARIANTS)
    assert "broken" not in page
    assert "not noticed" not in page
