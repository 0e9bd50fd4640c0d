"""The memory table and the decision matrix that ftc was started from: each claim is ours too, or disputed in print."""

from __future__ import annotations

import pytest

from bench.memory_page import PAGE, seed_section
from bench.memory_seed import Claim, answers, claims, stance

CLAIMS = {claim.id: claim for claim in claims()}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_each_claim_is_ours_or_disputed_as_recorded(claim: Claim) -> None:
    assert stance(claim) == claim.stance, [answer.value for answer in answers(claim)]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_dispute_says_why(claim: Claim) -> None:
    assert claim.stance == "agree" or claim.why


def test_the_page_shows_each_claim_with_todays_figures() -> None:
    assert seed_section() in PAGE.read_text(encoding="utf-8"), "make bench-memory writes the page anew"


def test_every_row_of_the_matrix_is_there() -> None:
    matrix = [name for name in CLAIMS if name.startswith("matrix-")]
    assert len(matrix) == 9, "seven rows, of which two say two things"


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


def test_lora_of_70b_needs_more_than_one_card_of_80_gb_on_every_stack() -> None:
    single, _ = answers(CLAIMS["matrix-80gb-70b-lora"])
    assert set(single.verdicts.values()) == {"does_not_fit"}


def test_the_saved_adapter_grows_with_its_type_and_its_modules() -> None:
    narrow, wide, every = (answer.value for answer in answers(CLAIMS["adapter-size"]))
    assert isinstance(narrow, float) and 10 <= narrow <= 50
    assert wide == 2 * narrow
    assert isinstance(every, float) and every > wide
