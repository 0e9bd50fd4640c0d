"""`ftc recommend --model` as one page: a bar for each method, and what there is to say of it."""

from __future__ import annotations

from typing import Final

from compiler.recommending.guidance import guidance
from compiler.recommending.methods import Candidate, Recommendation
from compiler.report.html_bars import method_chart
from compiler.report.html_plan import WORDS, plan_environment
from compiler.report.recommend_text import (
    count_words,
    hardware_words,
    named,
    need_words,
    order_words,
    rank_words,
    rate_words,
    solved_words,
    speed_words,
)
from schemas.facts import GIB

FAR: Final = 1.5
"""How many times the card a method may need and still have a bar: beyond, the others would be too short to read."""


def recommendation_html(found: Recommendation) -> str:
    """Everything that the text says, as a page."""
    weighed = [item for item in (*found.choices, *found.others) if item.footprint and not item.errors]
    near = [(named(item), item.footprint) for item in weighed if item.footprint and _near(item)]
    small = all(footprint.high < GIB for _, footprint in near)
    wish = found.wish
    return (
        plan_environment(small=small)
        .get_template("recommend.html.jinja")
        .render(
            **WORDS,
            wish=wish,
            card=hardware_words(wish.gpu.name, wish.count),
            parameters=count_words(wish.facts.params),
            choices=found.choices,
            others=[item for item in found.others if not item.errors],
            refused=[item for item in found.others if item.errors],
            order=order_words(found),
            chart=method_chart(near) if near else None,
            rates=found.rates,
            known=guidance(),
            named=named,
            need_words=need_words,
            rank_words=rank_words,
            rate_words=rate_words,
            solved_words=solved_words,
            speed_words=speed_words,
        )
    )


def _near(item: Candidate) -> bool:
    footprint = item.footprint
    return footprint is not None and (footprint.capacity is None or footprint.high <= FAR * footprint.capacity)
