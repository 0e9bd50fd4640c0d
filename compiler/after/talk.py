# pyright: basic
# Strict typing stops at transformers, whose classes are made at run time.
"""A conversation with what was trained, in the run's own words: its chat template, its system message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from compiler.after.answers import settle, stream
from compiler.after.finished import Finished
from compiler.after.loading import bare, base_model, stops, tokenizer_of, trained_model
from compiler.errors import FtcError

Turn = dict[str, str]


class Manner(Struct, frozen=True):
    """How it answers. `system`: None for the run's own message. `temperature`: 0 for the likeliest answer."""

    system: str | None
    temperature: float
    seed: int
    most: int


class Talk:
    """`untouched`: the base answers, as it was before training."""

    def __init__(self, run: Finished, device: str, manner: Manner, *, untouched: bool) -> None:
        self._tokenizer = tokenizer_of(run)
        self._model: Any = base_model(run, device) if untouched else trained_model(run, device)
        self._most = manner.most
        self._virtual = 0 if untouched else run.plan["method"].get("virtual_tokens", 0)
        self._templated = run.plan["model"]["chat_template"] is not None
        system = run.plan["data"]["system"] if manner.system is None else manner.system
        self._start: list[Turn] = [{"role": "system", "content": _whole(system)}] if system else []
        self._turns = list(self._start)
        ends = stops(self._model, self._tokenizer)
        settle(self._model, ends, self._tokenizer.pad_token_id, manner.temperature)
        if manner.temperature:
            import torch

            torch.manual_seed(manner.seed)

    def anew(self) -> None:
        """Forget what was said."""
        self._turns = list(self._start)

    def ask(self, said: str, tell: Callable[[str], object]) -> None:
        """Tell the answer as it is made, and remember both. What is told of an answer that is broken off counts as it.

        `FtcError` where there is no room for it.
        """
        turns = [*self._turns, {"role": "user", "content": _whole(said)}]
        prompt = self._prompt(turns if self._templated else _whole(said))
        most, room = self._most, getattr(bare(self._model).config.get_text_config(), "max_position_embeddings", None)
        if room:
            most = min(most, room - len(prompt) - self._virtual)
        if most < 1:
            raise FtcError(
                f"that makes {len(prompt) + self._virtual:,} tokens, and the model reads {room:,} at most",
                "ask for less; in a conversation, /new begins anew",
            )
        told: list[str] = []

        def telling(piece: str) -> None:
            told.append(piece)
            tell(piece)

        try:
            stream(self._model, self._tokenizer, prompt, most, telling)
        finally:
            self._turns = [*turns, {"role": "assistant", "content": "".join(told)}]

    def _prompt(self, asked: list[Turn] | str) -> list[int]:
        if isinstance(asked, str):
            return self._tokenizer(asked)["input_ids"]
        try:
            text = self._tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template may raise whatever it likes
            raise FtcError(f"the chat template refuses this conversation: {error}") from error
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]


def _whole(said: str) -> str:
    """Text without what was no UTF-8 where it came from, which no tokenizer takes."""
    return said.encode("utf-8", "replace").decode("utf-8")
