"""The lesson that ftc was started from: each row of its tables and each claim is ours too, or disputed in print."""

from __future__ import annotations

import pytest

from bench.seed_choices import (
    BaseRow,
    LicenceRow,
    Row,
    base_stance,
    choices,
    found,
    licence_stance,
    matrix_stance,
)
from bench.seed_memory import STACKS, Claim, answers, claims, stance
from compiler.recommending.bases import USES
from schemas.footprint import Stack

CLAIMS = {claim.id: claim for claim in claims()}
MATRIX = {row.id: row for row in choices().matrix}


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX)
def test_each_row_of_the_decision_matrix_is_ours_or_disputed_as_recorded(row: Row) -> None:
    said = {place: [item.kind for item in found(row.model, place).choices] for place in row.cards}
    assert matrix_stance(row) == row.stance, said


@pytest.mark.parametrize("row", choices().bases, ids=lambda row: row.id)
def test_each_row_of_the_base_models_is_ours_or_disputed_as_recorded(row: BaseRow) -> None:
    assert base_stance(row) == row.stance


@pytest.mark.parametrize("row", choices().licences, ids=lambda row: row.id)
def test_what_is_said_of_licences_is_so_or_disputed_as_recorded(row: LicenceRow) -> None:
    assert licence_stance(row) == row.stance


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_each_claim_about_memory_is_ours_or_disputed_as_recorded(claim: Claim) -> None:
    assert stance(claim) == claim.stance, [answer.value for answer in answers(claim)]


def test_a_dispute_says_why() -> None:
    rows = (*choices().matrix, *choices().bases, *choices().licences, *claims())
    assert all(row.why for row in rows if row.stance == "dispute")
    assert {row.stance for row in rows} == {"agree", "dispute"}


def test_every_row_of_the_lessons_tables_is_there() -> None:
    assert len(MATRIX) == 7
    assert [row.use for row in choices().bases] == [use.name for use in USES]
    assert {"full-7b", "lora-7b", "qlora-7b", "trained-20m", "base-7b-4bit", "weights-7b"} <= set(CLAIMS)


def test_ranks_of_the_matrix_fit_on_other_seven_billions_too() -> None:
    """A 7B may be any: Mistral 7B has other heads, and needs no more."""
    for row in (MATRIX["16gb-7b"], MATRIX["24gb-7b"], MATRIX["40gb-7b"]):
        for place in row.cards:
            kinds = {item.kind: item for item in found("mistral-7b-v0.3", place).choices}
            for kind in row.fits:
                ranks = kinds[kind].ranks
                assert ranks and ranks.largest >= max(row.ranks), (place, kind)


@pytest.mark.parametrize("stack", STACKS)
def test_no_training_code_changes_what_the_matrix_says_of_70b(stack: Stack) -> None:
    single = found("llama-3.1-70b", ("a100-40gb", 1), stack)
    assert not single.choices, "nothing trains 70B on 40 GB for sure"
    larger = found("llama-3.1-70b", ("a100-80gb", 1), stack)
    assert {item.kind for item in larger.choices} <= {"qlora", "qdora"}, "and nothing of 16 bit on 80"


def test_full_fine_tuning_of_7b_is_under_80_gb_in_16_bit_and_over_it_in_float32() -> None:
    narrow, wide = (answer.footprint.device for answer in answers(CLAIMS["full-7b"]))
    assert narrow < 80e9 < wide


def test_no_stack_trains_70b_with_qlora_on_40_gb_for_sure() -> None:
    for answer in answers(CLAIMS["qlora-70b-a100-40gb"]):
        assert "fits" not in answer.verdicts.values()


def test_a_70b_base_in_4_bit_leaves_less_than_a_tenth_of_an_a100_40gb() -> None:
    newest = answers(CLAIMS["qlora-70b-a100-40gb"])[0].footprint
    assert newest.capacity is not None
    assert newest.parts.weights > 0.9 * newest.capacity


def test_the_saved_adapter_grows_with_its_type_and_its_modules() -> None:
    narrow, wide, every = (answer.value for answer in answers(CLAIMS["adapter-size"]))
    assert isinstance(narrow, float) and isinstance(wide, float) and isinstance(every, float)
    assert 10 <= narrow <= 50
    assert wide == 2 * narrow
    assert every > wide
