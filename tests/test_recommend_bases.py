"""The facts of the catalog about who made a model, and base models by use."""

from __future__ import annotations

import re

import pytest

from compiler.commands.recommend import USES as NAMED
from compiler.model_catalog import names
from compiler.model_releases import all_releases
from compiler.recommending.bases import USES, Card, shelves
from compiler.starting.answers import card
from schemas.facts import Gpu


def test_every_model_of_the_catalog_has_a_release_and_each_fact_a_source() -> None:
    releases = all_releases()
    assert set(releases) == set(names())
    for release in releases.values():
        for fact in ("licence", "languages", "released"):
            assert getattr(release, fact) is None or release.sources[fact], f"{release.name}: {fact}"
        assert release.commercial is None or release.licence
        assert (release.terms is not None) >= (release.commercial in ("restricted", "no"))
        assert release.released is None or re.fullmatch(r"20\d\d-\d\d(-\d\d)?", release.released)
        assert not release.listed or (release.languages and len(release.listed) <= release.languages)


@pytest.mark.parametrize("gpu", ["t4", "rtx-4090", "a100-80gb"])
def test_bases_suit_their_use_and_train_on_the_card(gpu: str) -> None:
    found = shelves(Card(card(gpu), 1, None, None))
    assert [shelf.use.name for shelf in found] == [use.name for use in USES] == list(NAMED)
    for shelf in found:
        assert shelf.fits and shelf.bases
        assert len({base.release.group for base in shelf.bases}) == len(shelf.bases), "one of each release"
        for base in shelf.bases:
            assert shelf.use.suits(base) and base.methods
            assert base.footprint and base.footprint.verdict == "fits"


def test_the_newest_comes_first_and_the_most_languages_where_they_are_asked_for() -> None:
    by_use = {shelf.use.name: shelf.bases for shelf in shelves(Card(card("rtx-4090"), 1, None, None))}
    dates = [base.release.released or "" for base in by_use["edge"]]
    assert dates == sorted(dates, reverse=True)
    languages = [base.release.languages or 0 for base in by_use["multilingual"]]
    assert languages == sorted(languages, reverse=True) and languages[-1] >= 8
    sizes = [base.facts.params for base in by_use["quality"]]
    assert min(sizes) * 2 >= max(sizes)


def test_commercial_leaves_out_licences_that_do_not_allow_it() -> None:
    every, commercial = (shelves(Card(card("h100"), 1, None, None), "edge", commercial=flag) for flag in (False, True))
    assert {base.release.commercial for base in commercial[0].bases} <= {"allowed", "restricted"}
    assert len(commercial[0].bases) <= len(every[0].bases)


def test_a_card_on_which_nothing_of_a_use_fits_says_what_would_do() -> None:
    small = Gpu("small", "small", 2 << 30, 8.0, 100.0, 100.0, 500.0, None, None, "a test")
    [shelf] = shelves(Card(small, 1, f"{2}GiB", None), "datacentre")
    assert not shelf.fits
