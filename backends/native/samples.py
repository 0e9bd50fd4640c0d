# pyright: basic
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""A few rows answered by the model before it learns and after: what a person looks at first.

The rows are held out from training where there are such rows. The likeliest token is taken each time, of one row after
the other, so nothing is drawn at random and the memory taken is far below that of a step. It is an extra: what goes
wrong here is told on the page, and the run goes on.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from backends.native.data import IGNORED
from backends.native.model import Plan
from backends.native.prepared import Prepared
from backends.native.report import write_text

FILE = "samples.json"
COUNT = 4
"""Rows that are answered."""
PROMPT = 512
"""Tokens of a prompt at most."""
ANSWER, LEAST = 64, 16
"""Tokens of an answer: at most, and of what is allowed at least."""
SECONDS = 20.0
"""For all answers of one time; the last one is cut off then."""
WHOLE = ("single", "ddp")
"""Strategies that leave each process all of the model."""
TRIED = 64
"""Rows that are looked at to find some that will do."""


@dataclass(frozen=True, slots=True)
class Question:
    """`wanted`: how the row goes on; None where it is an answer that is judged to be bad."""

    ids: list[int]
    wanted: list[int]
    good: bool = True


def questions(rows: Any) -> list[Question]:
    """Of rows spread over all that there are, each prompt once."""
    step = max(len(rows) // TRIED, 1)
    found: dict[tuple[int, ...], Question] = {}
    for at in range(0, len(rows), step):
        question = _question(rows[at])
        if question and len(question.ids) <= PROMPT:
            found.setdefault(tuple(question.ids), question)
    several = list(found.values())
    return several[:: max(len(several) // COUNT, 1)][:COUNT]


def _question(row: dict[str, Any]) -> Question | None:
    """The row up to where it is first trained on; where that is its beginning, the first half of it."""
    names = ("chosen_ids", "chosen_labels") if "chosen_ids" in row else ("input_ids", "labels")
    end = (row.get("seq_lengths") or [len(row[names[0]])])[0]
    ids, labels = (row[name][:end] for name in names)
    start = next((at for at, label in enumerate(labels) if label != IGNORED), end)
    if start < 2:
        start = min(end // 2, ANSWER)
    wanted = next((at for at in range(start, end) if labels[at] == IGNORED), end)
    return Question(ids[:start], ids[start:wanted], row.get("label", True)) if 0 < start < wanted else None


class Samples:
    """Asks, and keeps what was answered in the run's folder: a run that is continued has its first answers from there.

    `identity`: the plan's. `rows`: those of both parts.
    """

    def __init__(self, plan: Plan, identity: str, tokenizer: Any, rows: Prepared) -> None:
        self._path, self._tokenizer, self._asked = Path(plan["output"]["dir"]) / FILE, tokenizer, list[Question]()
        part = "validation" if rows.validation is not None else "train"
        self.told: dict[str, Any] = {"plan": identity, "part": part, "seconds": {}, "rows": [], "note": None}
        if plan["hardware"]["strategy"] in WHOLE:
            self._asked = questions(rows.train if rows.validation is None else rows.validation)
            self.told["note"] = None if self._asked else "no row has a beginning of a length that can be shown here"
        else:
            self.told["note"] = "the model is spread over several devices"

    def before(self, trainer: Any, *, resumed: bool) -> None:
        """The answers of the model that has not learnt, unless this run has begun earlier."""
        if resumed and (earlier := kept(self._path.parent, self.told["plan"])):
            self.told = earlier
        elif resumed:
            self.told["note"] = "the run was continued, and its beginning had no answers"
            self._asked = []
        else:
            self.told["rows"] = [self._words(question) for question in self._asked]
            self._ask(trainer, "before")
        self._keep()

    def after(self, trainer: Any) -> None:
        """The answers of what it became."""
        if len(self._asked) == len(self.told["rows"]):
            self._ask(trainer, "after")
            self._keep()

    def _keep(self) -> None:
        write_text(self._path, json.dumps(self.told, indent=2, ensure_ascii=False) + "\n")

    def _words(self, question: Question) -> dict[str, Any]:
        wanted = self._decoded(question.wanted[:ANSWER])
        return {"prompt": self._decoded(question.ids), "wanted": wanted if question.good else None}

    def _decoded(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def _ask(self, trainer: Any, when: str) -> None:
        begun = time.perf_counter()
        try:
            with _quiet(trainer):
                for question, row in zip(self._asked, self.told["rows"], strict=True):
                    row[when] = self._answer(trainer, question, SECONDS - (time.perf_counter() - begun))
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
            self.told["note"] = f"{when} training: {type(error).__name__}: {(str(error) or '?').splitlines()[0]}"
        self.told["seconds"][when] = round(time.perf_counter() - begun, 2)

    def _answer(self, trainer: Any, question: Question, seconds: float) -> dict[str, Any] | None:
        """What is answered, and whether it came to its end by itself; None where no time is left."""
        if seconds <= 0:
            return None
        ends = self._ends(trainer.model, question)
        longest = max(len(each.wanted) for each in self._asked)
        ids = torch.tensor([question.ids], device=trainer.args.device)
        made = trainer.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=min(max(longest + longest // 2, LEAST), ANSWER),
                max_time=seconds,
                repetition_penalty=1.0,
                eos_token_id=ends,
                pad_token_id=self._tokenizer.pad_token_id,
                use_cache=True,
            ),
        )[0, len(question.ids) :].tolist()
        return {"text": self._decoded(made), "ended": bool(made) and made[-1] in ends}

    def _ends(self, model: Any, question: Question) -> list[int]:
        """Tokens after which nothing more is said: the model's own, and the one that ends what is wanted."""
        own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        last = question.wanted[-1:] if question.wanted[-1] in self._tokenizer.all_special_ids else []
        several = own if isinstance(own, list) else [own]
        return sorted({*several, self._tokenizer.eos_token_id, *last} - {None})


@contextmanager
def _quiet(trainer: Any) -> Iterator[None]:
    """Leave the model, what is drawn at random, and the card as they were."""
    model, devices = trainer.model, [] if trainer.args.device.type == "cpu" else [trainer.args.device]
    training = model.training
    # Layers that were compiled for the shapes of training would be compiled anew for each other one.
    uncompiled = torch.compiler.set_stance("force_eager")
    with (
        uncompiled,
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=devices),
        torch.no_grad(),
        trainer.accelerator.autocast(),
    ):
        warnings.simplefilter("ignore")
        model.eval()
        try:
            yield
        finally:
            model.train(training)
            if devices:
                torch.cuda.empty_cache()


def kept(out: Path, plan: str) -> dict[str, Any] | None:
    """The answers in a run's folder, where they are of this very plan."""
    try:
        told = json.loads((out / FILE).read_text("utf-8"))
        return told if told["plan"] == plan else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
