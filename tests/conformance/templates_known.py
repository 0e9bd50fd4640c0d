"""What other tools write or train otherwise in the same chat template, and why. Each entry is checked to differ.

Names are those of the corpus; those of our own catalog begin with `catalog/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from chat_corpus import CATALOGED, SHAPES
from msgspec import Struct

Aspect = Literal["taken", "text", "tokens", "trained", "vocabulary"]
"""`taken`: one refuses what the other renders. `tokens`: others for the same text. `vocabulary`: tokens are added."""

OWN: Final = {
    "axolotl": {
        "chatml": "chatml",
        "command_r": "cohere",
        "deepseek_v2": "deepseek_v2",
        "deepseek_v3": "deepseek_v3",
        "exaone35": "exaone",
        "gemma2": "gemma",
        "gemma3": "gemma3",
        "llama31": "llama3",
        "mistral_v3": "mistral_v2v3",
        "mistral_v7_tekken": "mistral_v7_tekken",
        "phi35": "phi_35",
        "phi4": "phi_4",
        "qwen25": "qwen_25",
        "qwen3": "qwen3",
        "catalog/alpaca": "alpaca",
        "catalog/chatml": "chatml",
        "catalog/gemma": "gemma",
        "catalog/llama3": "llama3",
        "catalog/mistral": "mistral_v1",
        "catalog/phi3": "phi_3",
    },
    "llamafactory": {
        "chatml": "chatml",
        "command_r": "cohere",
        "deepseek_r1": "deepseekr1",
        "deepseek_v2": "deepseek",
        "deepseek_v3": "deepseek3",
        "exaone35": "exaone",
        "gemma2": "gemma2",
        "gemma3": "gemma3",
        "glm4": "glm4",
        "granite31": "granite3",
        "llama2": "llama2",
        "llama31": "llama3",
        "mistral_v3": "mistral",
        "mistral_v7_tekken": "mistral_small",
        "olmo2": "olmo",
        "phi35": "phi",
        "phi4": "phi4",
        "phi4_mini": "phi4_mini",
        "qwen25": "qwen",
        "qwen3": "qwen3",
        "smollm2": "smollm2",
        "vicuna": "vicuna",
        "zephyr": "zephyr",
        "catalog/alpaca": "alpaca",
        "catalog/chatml": "chatml",
        "catalog/gemma": "gemma",
        "catalog/llama3": "llama3",
        "catalog/mistral": "mistral",
        "catalog/phi3": "phi",
        "catalog/zephyr": "zephyr",
    },
}
"""Its own template for each of ours; where it has none, it is not rendered."""


class Known(Struct, frozen=True):
    """What differs of these conversations in these templates, and why."""

    aspect: Aspect
    templates: tuple[str, ...]
    shapes: tuple[str, ...]
    why: str


def _own(tool: str, templates: Iterable[str], *without: str) -> tuple[str, ...]:
    """Those that it has one of its own for."""
    return tuple(name for name in templates if name in OWN[tool] and name not in without)


ALL: Final = tuple(SHAPES)
SAID: Final = ("one", "system", "turns", "odd", "long")
"""Conversations that end with an answer and call no tool."""
BARE: Final = ("one", "turns", "odd", "long")
"""Those that have no system text."""
CATALOG: Final = tuple(f"catalog/{name}" for name in CATALOGED)

NO_CALLS: Final = (
    *("chatml", "deepseek_v2", "exaone35", "falcon3", "glm4", "granite31", "olmo2", "phi35", "phi4", "phi4_mini"),
    *("smollm2", "zephyr", *CATALOG),
)
"""Templates that leave calls of tools out; ftc refuses the row."""
ORDERED: Final = ("command_r", "gemma2", "gemma3", "llama2", "vicuna")
"""Templates that refuse turns of tools."""

NEWLINE: Final = "it also trains the line break after the end of a turn"
TRIM: Final = "it keeps the white space around an answer, which the model's own template takes away"
SPACE: Final = "it writes no space before an answer"
SYSTEM: Final = "another system text, or none, where the row has none"

LLAMAFACTORY: Final = (
    Known("taken", tuple(OWN["llamafactory"]), ("open",), "rows whose turns are not in pairs are left out"),
    Known(
        "taken",
        ("gemma3", "mistral_v7_tekken"),
        SAID,
        "it is made for models that see, and takes nothing without an image processor",
    ),
    Known("taken", ("gemma2",), ("system",), "it takes a system text, which the model's own template refuses"),
    Known(
        "taken",
        _own("llamafactory", (*NO_CALLS, *ORDERED, "deepseek_r1", "deepseek_v3"), "gemma3"),
        ("tools",),
        "it writes tools and calls, in words of its own where the family has none",
    ),
    Known("trained", ("chatml", "catalog/chatml", "qwen25", "smollm2"), SAID, NEWLINE),
    Known("trained", ("catalog/gemma", "exaone35", "granite31", "phi35", "catalog/phi3"), SAID, NEWLINE),
    Known("trained", ("qwen25",), ("tools",), NEWLINE),
    Known("trained", ("qwen3",), ("one", "system", "long"), NEWLINE),
    Known("trained", ("catalog/alpaca",), SAID, "it also trains the blank line after an answer"),
    Known("text", ("catalog/alpaca",), SAID, "it begins without the beginning-of-sequence token"),
    Known("text", ("command_r", "gemma2", "llama31", "catalog/llama3"), ("odd",), TRIM),
    Known("text", ("catalog/gemma", "llama2", "mistral_v3", "catalog/mistral"), ("odd",), TRIM),
    Known("trained", ("command_r", "gemma2", "llama31", "catalog/llama3"), ("odd",), TRIM),
    Known("trained", ("catalog/gemma", "llama2", "mistral_v3", "catalog/mistral"), ("odd",), TRIM),
    Known("text", ("deepseek_r1",), SAID, "it writes an empty thought, as that template never does"),
    Known("trained", ("deepseek_r1",), SAID, "it trains the empty thought with the answer; ftc finds no answer"),
    Known("text", ("deepseek_v2", "vicuna"), SAID, SPACE),
    Known("trained", ("deepseek_v2", "vicuna"), SAID, SPACE),
    Known("text", ("vicuna",), SAID, "it begins without the beginning-of-sequence token"),
    Known("text", ("exaone35",), BARE, "it writes no empty system turn"),
    Known("text", ("gemma2", "glm4"), ("one", "turns", "odd", "long"), "it ends with an end-of-sequence token"),
    Known("text", ("glm4",), ("system",), "it ends with an end-of-sequence token"),
    Known("trained", ("gemma2",), BARE, f"{NEWLINE}, and what stands after it"),
    Known("trained", ("glm4",), SAID, "it ends with an end-of-sequence token"),
    Known("text", ("granite31", "llama31"), BARE, SYSTEM),
    Known("text", ("llama31",), ("system", "tools"), "it writes no date there, and the tools in words of its own"),
    Known("text", ("llama2",), SAID, "it writes no spaces around an answer"),
    Known("trained", ("llama2",), SAID, "it writes no spaces around an answer"),
    Known("text", ("mistral_v3",), ("system",), "it writes the system text, which that template leaves out"),
    Known("trained", ("mistral_v3",), ("system",), "ftc does not find the answer where a system text comes and goes"),
    Known("text", ("mistral_v3",), ("tools",), "it writes the tools inside [INST], and calls without their ids"),
    Known("trained", ("mistral_v3",), ("tools",), "it writes calls without their ids"),
    Known("text", ("catalog/mistral",), SAID, "it writes no space before [/INST]"),
    Known("text", ("olmo2",), SAID, "it writes OLMo 1's format: no line break after a turn, no mark of the system's"),
    Known("text", ("phi35", "phi4_mini"), SAID, "it writes no end-of-sequence token after the last turn"),
    Known("text", ("qwen3",), ("turns", "odd", "tools"), "it writes an empty thought before every answer"),
    Known(
        "trained", ("qwen3",), ("turns", "odd", "tools"), "it writes earlier answers with a thought, so can train them"
    ),
    Known("text", ("smollm2",), BARE, SYSTEM),
    Known(
        "text", ("zephyr", "catalog/zephyr"), SAID, "it writes no line break after a turn, and a system text of its own"
    ),
)

LEFT: Final = "the template leaves out the call; it renders the row and trains what is left, ftc refuses it"
WORDS: Final = "it trains the words alone, not the space or line break that the template puts around them"
CLOSING: Final = "it also trains the end-of-sequence token after the last turn"

AXOLOTL: Final = (
    Known("taken", _own("axolotl", NO_CALLS, "catalog/gemma", "catalog/mistral"), ("tools",), LEFT),
    Known("taken", ("catalog/gemma",), ("system",), "its own refuses a system text, as Gemma 2's does"),
    Known("trained", NO_CALLS, ("tools",), LEFT),
    Known(
        "trained", ("deepseek_r1",), ALL, "it finds an answer by its words, though the template never asks for one so"
    ),
    Known(
        "trained", ("qwen3",), ("one", "system", "long"), "it trains the words and not the empty thought before them"
    ),
    Known(
        "trained",
        ("qwen3",),
        ("turns", "odd", "open", "tools"),
        "it finds answers by their words; ftc, by how they are asked for",
    ),
    Known("trained", ("llama2",), (*SAID, "open"), WORDS),
    Known("trained", ("glm4",), (*SAID, "open"), f"{WORDS}, nor the mark of who speaks next, which ends them"),
    Known("trained", ("deepseek_v2", "mistral_v3", "vicuna", "catalog/mistral"), ("long",), WORDS),
    Known("trained", ("phi35", "phi4_mini"), SAID, CLOSING),
    Known("trained", ("mistral_v3",), ("system",), "it finds an answer by its words, though its system text is lost"),
    Known(
        "trained",
        ("mistral_v3",),
        ("tools",),
        "it looks for a call by putting words in its place, which the template refuses",
    ),
    Known("text", ("catalog/alpaca",), (*BARE, "open"), SYSTEM),
    Known("text", ("llama31", "mistral_v7_tekken", "phi4"), (*BARE, "open"), SYSTEM),
    Known("text", ("llama31",), ("system", "tools"), "it is Llama 3's: no dates, no tools"),
    Known("text", ("catalog/mistral",), (*SAID, "open"), "it writes a space before [INST]"),
    Known("text", ("catalog/phi3",), ("open",), "after a question it always asks for the answer"),
    Known("text", ("deepseek_v2",), (*SAID, "open"), "it writes DeepSeek-V2.5's format, with tokens for who speaks"),
    Known("text", ("phi35",), (*SAID, "open"), "it writes no end-of-sequence token after the last turn"),
)

KNOWN: Final = {"axolotl": AXOLOTL, "llamafactory": LLAMAFACTORY}
