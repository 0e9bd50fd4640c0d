"""The tables of docs/choosing.md: what is known of quality, and the lesson's claims with today's figures."""

from __future__ import annotations

from collections.abc import Iterator

from bench.seed_choices import base_rows, licence_rows, matrix_rows
from bench.seed_memory import seed_rows
from compiler.recommending.guidance import guidance
from compiler.report.matrix import markdown


def choosing_blocks() -> Iterator[tuple[str, str]]:
    """Block → its content."""
    yield "matrix", markdown(["situation", "the lesson says", "`ftc recommend`", ""], matrix_rows())
    yield "memory-claims", markdown(["the lesson says", "run", "ours", "verdict", ""], _memory())
    yield "bases", markdown(["constraint", "the lesson says", "`ftc recommend --gpu`", ""], base_rows())
    yield "licences", markdown(["the lesson says", "licences", ""], licence_rows())
    yield "methods", markdown(["method", "level", "with many rows", "why", "sources"], _methods())
    yield "rules", markdown(["", "what is known", "here", "agrees", "sources"], _rules())
    yield "rates", markdown(["methods", "objective", "parameters", "learning rate", "source"], _rates())
    yield "epochs", markdown(["rows", "epochs", "of", "source"], _epochs())
    yield "sources", "".join(f"- **{source.short}**: {source.where}\n" for source in guidance().sources.values())


def _memory() -> Iterator[list[str]]:
    words = {"agree": "reproduced", "dispute": "**disputed**"}
    for claim, run, figure, verdicts, stance in seed_rows():
        word, _, why = stance.partition(": ")
        yield [claim, run, figure, verdicts, ": ".join(filter(None, (words.get(word, ""), why)))]


def _methods() -> Iterator[list[str]]:
    known = guidance()
    for kind, guide in sorted(known.methods.items(), key=lambda item: (item[1].level, item[1].place)):
        yield [f"`{kind}`", str(guide.level), str(guide.many), guide.because, known.named(guide.sources)]


def _rules() -> Iterator[list[str]]:
    known = guidance()
    for rule in known.rules:
        yield [rule.topic, rule.says, rule.ours, rule.agrees, known.named(rule.sources)]


def _rates() -> Iterator[list[str]]:
    known = guidance()
    for item in known.learning_rates:
        upto = f"to {item.below / 1e9:.0f} B" if item.below else "and more"
        size = f"{item.least / 1e9:.0f} B {upto}" if item.least else upto
        rate = f"{item.value:.1e}".replace("e-0", "e-")
        yield [", ".join(item.methods), ", ".join(item.objectives), size, rate, known.sources[item.source].short]


def _epochs() -> Iterator[list[str]]:
    known = guidance()
    for item in known.epochs:
        yield [f"{item.rows:,}", str(item.epochs), item.model, known.sources[item.source].short]
