"""A tokenizer's chat template: the text of a conversation, and where in it the trained answers are.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. A template that says
with `{% generation %}` what the model writes is believed. In any other, an answer is what follows the invitation to
speak, and that is verified: the conversation up to the invitation and up to the end of the answer must be how the whole
text begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from backends.native.findings import DataError, RowError
from backends.native.formats import Message, Row

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
Span = tuple[int, int]
Drawn = tuple[str, list[Span]]
"""A conversation's text, and the stretches of it that are trained."""


REWRITES = (
    "the chat template renders a turn differently once others follow, or an answer otherwise than it is asked for, so "
    "that the answers cannot be told apart; name a template with {% generation %} marks in model.chat_template, or "
    "train on data.loss_on = last_assistant"
)


class Renderer:
    """Draws conversations. `loss_on`: as the recipe's; of answers that are compared, the answer alone is trained."""

    def __init__(self, tokenizer: Any, loss_on: str) -> None:
        if not tokenizer.chat_template:
            raise DataError(
                "the tokenizer has no chat template; set model.chat_template to chatml, alpaca or a .jinja file"
            )
        self.tokenizer, self.loss_on = tokenizer, loss_on
        self.template: str = tokenizer.get_chat_template()
        self.marked = bool(GENERATION.search(self.template))
        self.specials = tuple(sorted(map(str, tokenizer.get_added_vocab()), key=len, reverse=True))

    def render(self, rows: Sequence[Row]) -> list[Drawn | RowError]:
        """Each row's text, end-of-turn tokens among what is trained; for a row that the template refuses, the error."""
        return self._marked(rows) if self.marked and self.loss_on != "all" else self._found(rows)

    def _marked(self, rows: Sequence[Row]) -> list[Drawn | RowError]:
        drawn: list[Drawn | RowError] = []
        for row, found in zip(rows, self._texts([(row, row.messages) for row in rows], marked=True), strict=True):
            if isinstance(found, RowError):
                drawn.append(found)
                continue
            text, marks = found
            drawn.append((text, [self._closed(text, *mark) for mark in marks[-self._answers(row) :]]))
        return drawn

    def _answers(self, row: Row) -> int:
        """How many answers are trained, from the last backwards; 0: all."""
        if row.answers:
            return sum(turn["role"] == "assistant" for turn in row.messages[-row.answers :])
        return 0 if self.loss_on == "assistant" else 1

    def _found(self, rows: Sequence[Row]) -> list[Drawn | RowError]:
        wanted = [(at, number) for at, row in enumerate(rows) for number in self._numbers(row)]
        whole = self._texts([(row, row.messages) for row in rows])
        before = self._texts([(rows[at], rows[at].messages[:number]) for at, number in wanted], ask=True)
        inner = [(at, number) for at, number in wanted if number + 1 < len(rows[at].messages)]
        through = self._texts([(rows[at], rows[at].messages[: number + 1]) for at, number in inner])
        ends = dict(zip(inner, through, strict=True))
        drawn: list[Drawn | RowError] = [
            found if isinstance(found, RowError) else (found[0], self._everything(found[0])) for found in whole
        ]
        for (at, number), start in zip(wanted, before, strict=True):
            drawn[at] = self._with_answer(rows[at], drawn[at], start, ends.get((at, number), whole[at]))
        return drawn

    def _everything(self, text: str) -> list[Span]:
        return [(0, len(text))] if self.loss_on == "all" else []

    def _numbers(self, row: Row) -> list[int]:
        """Which messages are trained."""
        if self.loss_on == "all" and not row.answers:
            return []
        first = len(row.messages) - row.answers if row.answers else 0
        found = [n for n, turn in enumerate(row.messages) if n >= first and turn["role"] == "assistant"]
        return found if row.answers or self.loss_on == "assistant" else found[-1:]

    def _with_answer(
        self, row: Row, drawn: Drawn | RowError, before: Drawn | RowError, through: Drawn | RowError
    ) -> Drawn | RowError:
        """What is drawn of a row with one more answer in it: from the end of its invitation to the end of its turn."""
        if isinstance(drawn, RowError) or isinstance(before, RowError) or isinstance(through, RowError):
            return next(found for found in (drawn, before, through) if isinstance(found, RowError))
        text, spans = drawn
        start, end = before[0], through[0]
        if text.startswith(start) and text.startswith(end) and len(start) < len(end):
            return text, [*spans, self._trimmed(text, len(start), len(end))]
        return RowError("FTC524", row.place, REWRITES)

    def _texts(
        self, asked: Sequence[tuple[Row, Sequence[Message]]], *, marked: bool = False, ask: bool = False
    ) -> list[Drawn | RowError]:
        """Messages as text, with the template's own marks where they are wanted. Those without tools at one stroke."""
        plain = [messages for row, messages in asked if not row.tools]
        try:
            texts = iter(self._drawn(plain, None, marked, ask) if plain else ())
        except Exception:  # one of them is refused; which, shows below
            texts = None
        return [
            self._alone(row, messages, marked, ask) if row.tools or texts is None else next(texts)
            for row, messages in asked
        ]

    def _alone(self, row: Row, messages: Sequence[Message], marked: bool, ask: bool) -> Drawn | RowError:
        try:
            return self._drawn([messages], row.tools, marked, ask)[0]
        except Exception as error:  # a template may raise whatever it likes
            return RowError("FTC523", row.place, f"the chat template refuses this conversation: {error}")

    def _drawn(
        self, conversations: Sequence[Sequence[Message]], tools: Sequence[Any] | None, marked: bool, ask: bool
    ) -> list[Drawn]:
        from transformers.utils.chat_template_utils import (
            render_jinja_template,  # pyright: ignore[reportUnknownVariableType] (its own types have gaps)
        )

        drawn: Any = render_jinja_template(
            conversations=[list(messages) for messages in conversations],
            tools=list(tools) if tools else None,
            chat_template=self.template,
            return_assistant_tokens_mask=marked,
            add_generation_prompt=ask,
            **self.tokenizer.special_tokens_map,
        )
        texts, marks = drawn
        return [(text, [(a, b) for a, b in marks[at]] if marked else []) for at, text in enumerate(texts)]

    def _trimmed(self, text: str, start: int, end: int) -> Span:
        """Without the white space that some templates put after the end-of-turn token: nobody waits for it."""
        said = text[start:end].rstrip()
        return (start, start + len(said)) if said.endswith(self.specials) else (start, end)

    def _closed(self, text: str, start: int, end: int) -> Span:
        """With the end-of-sequence token, where a template's mark stops just short of it."""
        closing = self.tokenizer.eos_token
        if closing and not text[start:end].rstrip().endswith(self.specials) and text.startswith(closing, end):
            return start, end + len(closing)
        return self._trimmed(text, start, end)
