"""Chat templates of real model families, the tokens that each needs, and conversations of every shape.

The templates stand in tests/chat_templates, written for these tests after the formats' public documentation and without
`{% generation %}` marks, as models ship them. `tests/test_chat_templates.py` looks at what is trained of them;
`templates.py` compares with what other tools write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

TESTS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = TESTS.parent
PLACE: Final = TESTS / "chat_templates"
CATALOG: Final = ROOT / "schemas" / "catalog" / "chat_templates"
BASE: Final = ROOT / "recipes" / "quickstart" / "base"
CATALOGED: Final = {
    "alpaca": "zephyr",
    "chatml": "chatml",
    "gemma": "gemma3",
    "llama3": "llama31",
    "mistral": "mistral_v3",
    "phi3": "phi35",
    "zephyr": "zephyr",
}
"""Each template of the catalog → the family whose tokens it is tried with."""
TOKENS: Final = re.compile(r"\{#- tokens: (.*) ; eos: (\S+) ; bos: (\S+) ; end: (\S+) -#\}")

Message = dict[str, Any]


class ChatTemplate(Struct, frozen=True):
    """A template's text and what its tokenizer must know. `end`: what ends a turn, often the end of the sequence."""

    name: str
    text: str
    tokens: tuple[str, ...]
    eos: str
    bos: str | None
    end: str | None


class Shape(Struct, frozen=True):
    """A conversation, and the tools that it is told of."""

    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """What the assistant says, as it stands in the row."""
        return tuple(turn["content"] for turn in self.messages if turn["role"] == "assistant")


def read_template(path: Path) -> ChatTemplate:
    """A template of the corpus."""
    text = path.read_text(encoding="utf-8")
    found = TOKENS.search(text)
    assert found, f"{path.name} does not say which tokens it needs"
    tokens, eos, bos, end = found.groups()
    return ChatTemplate(
        path.stem, text, tuple(tokens.split()), eos, None if bos == "none" else bos, None if end == "none" else end
    )


def corpus() -> dict[str, ChatTemplate]:
    """All of them by name."""
    return {path.stem: read_template(path) for path in sorted(PLACE.glob("*.jinja"))}


def catalog() -> dict[str, ChatTemplate]:
    """Our own templates, with the tokens of a family of the corpus that writes like them."""
    families = corpus()
    return {
        name: replace(families[family], name=name, text=(CATALOG / f"{name}.jinja").read_text(encoding="utf-8"))
        for name, family in CATALOGED.items()
    }


def make_tokenizer(template: ChatTemplate) -> Any:
    """The quickstart's tokenizer, which learns the family's tokens."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(BASE)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in template.tokens])
    tokenizer.eos_token, tokenizer.bos_token = template.eos, template.bos
    tokenizer.chat_template = template.text
    return tokenizer


def _asks(content: str) -> Message:
    return {"role": "user", "content": content}


def _says(content: str, **more: object) -> Message:
    return {"role": "assistant", "content": content, **more}


CALL: Final = {
    "id": "call12345",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Oslo"}},
}
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How the weather is.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ODD: Final = "  Grün 🚗,\n\n\tin   blau: 青い \n"
LONG: Final = (
    "```python\nfor turn in range(3):\n    print(turn)\n```\n\n1. It counts.\n2. It stops.\n\n"
    "As a chat: USER: one ASSISTANT: two\nUser: three\n\nAssistant: four [INST] five [/INST] six\n### Response:\n"
    + "and so on, from one end of the harbour to the other, " * 8
    + "to the end."
)

SHAPES: Final[Mapping[str, Shape]] = {
    "one": Shape((_asks("Which colour has car 1?"), _says("It is green."))),
    "system": Shape(
        ({"role": "system", "content": "Be brief."}, _asks("Which colour has car 1?"), _says("It is green."))
    ),
    "turns": Shape(
        (
            _asks("Which colour has car 1?"),
            _says("It is green."),
            _asks("And car 2?"),
            _says("Blue."),
            _asks("Are you sure?"),
            _says("I am; I looked."),
        )
    ),
    "tools": Shape(
        (
            _asks("How is the weather in Oslo?"),
            _says("", tool_calls=[CALL]),
            {"role": "tool", "name": "weather", "tool_call_id": "call12345", "content": "rain"},
            _says("It rains there."),
        ),
        (WEATHER,),
    ),
    "odd": Shape((_asks(f"Say{ODD}, then yes."), _says(ODD), _asks("Now say yes."), _says("yes"))),
    "open": Shape((_asks("Which colour has car 1?"), _says("It is green."), _asks("And car 2?"))),
    "long": Shape((_asks("How do I count?"), _says(LONG))),
}
"""Conversations by what is peculiar to them."""
