"""A tokenizer's chat template: the text of a conversation, and where in it the trained answers are.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. A template that says
with `{% generation %}` what the model writes is believed, if the answers' words are there. In any other, an answer is
what follows the invitation to speak, and that is verified: the conversation up to the invitation and up to the end of
the answer must be how the whole text begins, with the answer's words between the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from backends.native.calls import THOUGHT, TOOL, uncalled, with_objects
from backends.native.findings import DataError, RowError
from backends.native.formats import Message, Row

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
Span = tuple[int, int]
Drawn = tuple[str, list[Span]]
"""A conversation's text, and the stretches of it that are trained."""
Found = Drawn | RowError
REWRITES = (
    "the chat template renders a turn differently once others follow, or an answer otherwise than it is asked for, so "
    "that the answers cannot be told apart; name a template with {% generation %} marks in model.chat_template"
)
LAST_ALONE = ", or train on data.loss_on = last_assistant"
ALTERED = "the chat template writes an answer otherwise than it is; name one that does not in model.chat_template"
MISPLACED = (
    "the {% generation %} marks of the chat template do not hold the answers and nothing else; put them around what is "
    "written of an answer, outside of every macro and {% set %} block, where they cannot be placed"
)
SILENT = (
    "the chat template leaves out the tool calls, so that the model would learn to end its turn without them; name a "
    "template that writes them in model.chat_template"
)
ASKED: Message = {"role": "user", "content": "ftcquestion"}
ANSWERED: Message = {"role": "assistant", "content": "ftcanswer"}


class Renderer:
    """Draws conversations. `loss_on`: as the recipe's; of answers that are compared, the answer alone is trained."""

    def __init__(self, tokenizer: Any, loss_on: str) -> None:
        if not tokenizer.chat_template:
            raise DataError(
                "the tokenizer has no chat template; set model.chat_template to chatml, alpaca or a .jinja file"
            )
        self.tokenizer, self.loss_on = tokenizer, loss_on
        self.template: str = tokenizer.get_chat_template()
        self.marked = loss_on != "all" and bool(GENERATION.search(COMMENT.sub("", self.template)))
        self.specials = tuple(sorted(map(str, tokenizer.get_added_vocab()), key=len, reverse=True))

    def render(self, rows: Sequence[Row]) -> list[Found]:
        """Each row's text, end-of-turn tokens among what is trained; for a row that the template refuses, the error."""
        return self._without_silent(rows, self._marked(rows) if self.marked else self._found(rows))

    @cached_property
    def ignored(self) -> frozenset[str]:
        """What of a row the template never writes: of "tools" and "reasoning_content"."""
        row = Row("", 1.0, (ASKED, {**ANSWERED, "reasoning_content": THOUGHT}), (TOOL,))
        (found,) = self._texts([(row, row.messages)])
        if isinstance(found, RowError):
            return frozenset()
        said = {"tools": TOOL["function"]["name"], "reasoning_content": THOUGHT}
        return frozenset(name for name, word in said.items() if word not in found[0])

    def _without_silent(self, rows: Sequence[Row], drawn: list[Found]) -> list[Found]:
        """An error for each row that reads the same without its tool calls."""
        calling = [at for at, row in enumerate(rows) if any(turn.get("tool_calls") for turn in row.messages)]
        bare = self._texts([(rows[at], [uncalled(turn) for turn in rows[at].messages]) for at in calling])
        for at, without in zip(calling, bare, strict=True):
            found = drawn[at]
            if not isinstance(found, RowError) and not isinstance(without, RowError) and found[0] == without[0]:
                drawn[at] = RowError("FTC523", rows[at].place, SILENT)
        return drawn

    def _marked(self, rows: Sequence[Row]) -> list[Found]:
        late = [at for at, row in enumerate(rows) if self._first(row)]
        heads = self._texts([(rows[at], rows[at].messages[: self._first(rows[at])]) for at in late], ask=True)
        before = dict(zip(late, heads, strict=True))
        texts = enumerate(self._texts([(row, row.messages) for row in rows], marked=True))
        nothing: Found = ("", [])
        return [self._believed(rows[at], found, before.get(at, nothing)) for at, found in texts]

    def _believed(self, row: Row, found: Found, before: Found) -> Found:
        """The marks that are trained, each with the token that ends its turn."""
        if isinstance(found, RowError):
            return found
        text, (sound, invited) = found[0], self._trial
        marks = [(a + len(invited) if text.startswith(invited, a) else a, b) for a, b in found[1]]
        wanted = self._wanted(row, (text, [mark for mark in marks if mark[0] < mark[1]]), before)
        turns = [row.messages[number] for number in self._numbers(row)]
        if sound and wanted is not None and _held([text[a:b] for a, b in wanted], turns):
            return text, [self._closed(text, *mark) for mark in wanted]
        return RowError("FTC524", row.place, MISPLACED)

    def _wanted(self, row: Row, found: Drawn, before: Found) -> list[Span] | None:
        """The marks that are trained: those after `before`, what comes before the first answer that is."""
        text, marks = found
        if not isinstance(before, RowError) and text.startswith(before[0]):
            start = len(before[0])
            return [(max(first, start), end) for first, end in marks if end > start]
        # Where the beginning is written otherwise once more follows, the marks are counted instead, one an answer.
        count, answers = len(self._numbers(row)), sum(turn["role"] == "assistant" for turn in row.messages)
        return marks[len(marks) - count :] if len(marks) in (count, answers) else None if marks else []

    @cached_property
    def _trial(self) -> tuple[bool, str]:
        """Whether the marks hold an answer whose words stand nowhere else, not the question, and cut no token; and what
        the invitation writes of a mark, as `<think>`: not the model's to write, it is trained of no answer."""
        row = Row("", 1.0, (ASKED, ANSWERED))
        (found,), (asking,) = self._texts([(row, row.messages)], marked=True), self._texts([(row, [ASKED])], ask=True)
        if isinstance(found, RowError) or not any(a < b for a, b in found[1]):
            return True, ""
        text, marks = found
        said = "\n".join(text[a:b] for a, b in marks)
        tokens = [token.span() for token in re.finditer("|".join(map(re.escape, self.specials)), text)]
        cut = any(a < edge < b for a, b in tokens for mark in marks for edge in mark)
        start = "" if isinstance(asking, RowError) or not text.startswith(asking[0]) else asking[0]
        invited = next((start[a:] for a, b in marks if a < len(start) < b), "")
        return ANSWERED["content"] in said and ASKED["content"] not in said and not cut, invited

    def _first(self, row: Row) -> int:
        """The first message that is trained; 0 where all answers are."""
        if self.loss_on == "assistant" and not row.answers:
            return 0
        return next(iter(self._numbers(row)), len(row.messages))

    def _found(self, rows: Sequence[Row]) -> list[Found]:
        wanted = [(at, number) for at, row in enumerate(rows) for number in self._numbers(row)]
        whole = self._texts([(row, row.messages) for row in rows])
        before = self._texts([(rows[at], rows[at].messages[:number]) for at, number in wanted], ask=True)
        inner = [(at, number) for at, number in wanted if number + 1 < len(rows[at].messages)]
        through = self._texts([(rows[at], rows[at].messages[: number + 1]) for at, number in inner])
        ends = dict(zip(inner, through, strict=True))
        drawn = [self._untouched(*each) for each in zip(rows, whole, strict=True)]
        for (at, number), start in zip(wanted, self._led(rows, wanted, before), strict=True):
            drawn[at] = self._with_answer(rows[at], number, drawn[at], start, ends.get((at, number), whole[at]))
        return drawn

    def _untouched(self, row: Row, found: Found) -> Found:
        """What is drawn of a row before its answers are looked for."""
        everything = self.loss_on == "all" and not row.answers
        return (found[0], [(0, len(found[0]))]) if everything and not isinstance(found, RowError) else found

    def _numbers(self, row: Row) -> list[int]:
        """Which messages are trained."""
        if self.loss_on == "all" and not row.answers:
            return []
        first = len(row.messages) - row.answers if row.answers else 0
        found = [n for n, turn in enumerate(row.messages) if n >= first and turn["role"] == "assistant"]
        return found if row.answers or self.loss_on == "assistant" else found[-1:]

    def _with_answer(self, row: Row, number: int, drawn: Found, before: Found, through: Found) -> Found:
        """What is drawn of a row with one more answer in it: from the end of its invitation to the end of its turn."""
        if isinstance(drawn, RowError) or isinstance(before, RowError) or isinstance(through, RowError):
            return next(found for found in (drawn, before, through) if isinstance(found, RowError))
        text, spans = drawn
        start, end = before[0], self._unclosed(through[0])
        if not (text.startswith(start) and text.startswith(end) and len(start) < len(end)):
            return RowError("FTC524", row.place, self._rewrites)
        if not _says(text[len(start) : len(end)], row.messages[number]):
            return RowError("FTC524", row.place, ALTERED)
        return text, [*spans, self._closed(text, len(start), len(end))]

    def _led(self, rows: Sequence[Row], wanted: Sequence[Span], before: Sequence[Found]) -> list[Found]:
        """`before`, where it does not ask for the answer as far as the answer's words: who speaks is not learnt."""
        (closing, invitation), led = self._edges, list(before)
        for at, (start, (of, number)) in enumerate(zip(before, wanted, strict=True)):
            if not isinstance(start, RowError) and (invitation is None or not start[0].endswith(invitation)):
                led[at] = self._begun(rows[of], rows[of].messages[:number], start, closing)
        return led

    def _begun(self, row: Row, told: Sequence[Message], asked: Drawn, closing: str) -> Found:
        """What is told up to where the words of another answer would be, if asking for one adds nothing."""
        unasked, other = self._texts([(row, told), (row, [*told, ANSWERED])])
        if isinstance(unasked, RowError) or asked[0] not in (unasked[0], unasked[0].removesuffix(closing)):
            return asked
        start, words, _ = ("", "", "") if isinstance(other, RowError) else other[0].partition(ANSWERED["content"])
        if not words or not start.startswith(asked[0]):
            return RowError("FTC524", row.place, self._rewrites)
        return (start, []) if start[len(asked[0]) :].strip() else asked

    @cached_property
    def _edges(self) -> tuple[str, str | None]:
        """The end-of-sequence token that the template writes after the last turn, whoever speaks in it, as Phi-3's; and
        the invitation: empty where answers follow at once, as Mistral's, None where each has to be looked at."""
        row, end = Row("", 1.0, (ASKED,)), self.tokenizer.eos_token or ""
        (closed,), (asking,) = self._texts([(row, row.messages)]), self._texts([(row, row.messages)], ask=True)
        if isinstance(closed, RowError) or isinstance(asking, RowError):
            return "", None
        for closing in ("", end):
            said = closed[0].removesuffix(closing)
            if closed[0].endswith(closing) and asking[0].startswith(said):
                begun = asking if asking[0] != said else self._begun(row, row.messages, asking, closing)
                return closing, asking[0].removeprefix(said) if begun == asking else None
        return "", None

    @property
    def _rewrites(self) -> str:
        return REWRITES + LAST_ALONE * (self.loss_on == "assistant")

    def _unclosed(self, text: str) -> str:
        """A conversation up to the end of its last turn, where that has an end of its own."""
        return text.removesuffix(self._edges[0]) if self._ended is not False else text

    @cached_property
    def _ended(self) -> bool | None:
        """Whether what is written of an answer holds a token that ends its turn; None where that cannot be seen. The
        answers that are trained do not tell it: they may themselves end with a token."""
        row = Row("", 1.0, (ASKED, ANSWERED))
        (found,) = self._texts([(row, row.messages)], marked=self.marked)
        if isinstance(found, RowError) or (self.marked and not found[1]):
            return None
        end = max(b for _, b in found[1]) if self.marked else len(found[0].removesuffix(self._edges[0]))
        return found[0][:end].rstrip().endswith(self.specials)

    def _texts(
        self, asked: Sequence[tuple[Row, Sequence[Message]]], *, marked: bool = False, ask: bool = False
    ) -> list[Found]:
        """Messages as text, with the template's own marks where they are wanted. Those without tools at one stroke."""
        plain = [with_objects(messages) for row, messages in asked if not row.tools]
        try:
            texts = iter(self._drawn(plain, None, marked, ask) if plain else ())
        except Exception:  # one of them is refused; which, shows below
            texts = None
        return [
            self._alone(row, messages, marked, ask) if row.tools or texts is None else next(texts)
            for row, messages in asked
        ]

    def _alone(self, row: Row, messages: Sequence[Message], marked: bool, ask: bool) -> Found:
        said = with_objects(messages)
        try:
            return self._drawn([said], row.tools, marked, ask)[0]
        except Exception as error:  # a template may raise whatever it likes
            if said is not messages:
                # DeepSeek-V3's writes the arguments as the text that they are.
                with suppress(Exception):
                    return self._drawn([messages], row.tools, marked, ask)[0]
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

    def _closed(self, text: str, start: int, end: int) -> Span:
        """With the token that ends the turn, where it follows: after a template's mark, or as the next turn's first.
        Without the white space that some templates put after that token: nobody waits for it."""
        said = text[start:end].rstrip()
        if self._ended is not False and said.endswith(self.specials):
            return start, start + len(said)
        return start, end + len(next((token for token in self.specials if text.startswith(token, end)), ""))


def _says(text: str, turn: Message) -> bool:
    """Whether a turn's words are in a text, but for white space and thoughts, which many templates take away. Of a turn
    that calls tools, some write the calls alone."""
    words = turn["content"]
    if words.strip() in text or turn.get("tool_calls"):
        return True
    return "".join(words.rpartition("</think>")[2].split()) in "".join(text.split())


def _held(marks: Sequence[str], turns: Sequence[Message]) -> bool:
    """Whether marks hold the words of turns, one after the other. A template may leave an answer unmarked, but not mark
    something else instead."""
    held, missing = 0, False
    for turn in turns:
        if turn["content"].strip() and not turn.get("tool_calls"):
            at = next((at + 1 for at in range(held, len(marks)) if _says(marks[at], turn)), 0)
            held, missing = at or held, missing or not at
    return not missing or held == len(marks)
