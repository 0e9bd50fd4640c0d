"""What must be trained of each conversation of the corpus, from its own words and what is known of the family.

Nothing here comes from the code that is tested: a family's answers begin with `LEADS` and end with the token that its
template's first lines name; what it does with tool calls and with conversations that it cannot have is written out. At
the end stand templates that nobody ships, whose answers have no fixed place.
"""

from __future__ import annotations

from typing import Final

from chat_corpus import ChatTemplate, Shape

LEADS: Final = {
    "deepseek_v2": " ",
    "glm4": "\n",
    "llama2": " ",
    "mistral_v3": " ",
    "vicuna": " ",
}
"""What an answer begins with, after all that is put before it when it is asked for."""

TAILS: Final = {"llama2": " "}
"""What stands between the words and the end of the turn."""

TRIMMED: Final = {"command_r", "gemma2", "gemma3", "llama2", "llama31", "mistral_v3"}
"""Families that take the white space around the words away."""

NEXT: Final = "<|user|>"
"""What ends GLM-4's answers, where it is there: the mark of who speaks next."""

NO_THOUGHT: Final = "<think>\n\n</think>\n\n"
"""What Qwen3 writes before its last answer where that brings no thought."""

CALLS: Final = {
    "llama31": '{"name": "weather", "parameters": {"city": "Oslo"}}<|eot_id|>',
    "mistral_v3": '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}, "id": "call12345"}]</s>',
    "qwen25": '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>',
}
"""The turn that calls a tool, as the families that have tools write it."""

REFUSED: Final = "FTC523"
HIDDEN: Final = "FTC524"

ORDERED: Final = {"command_r", "gemma2", "gemma3", "llama2", "mistral_v7_tekken", "vicuna"}
"""They raise where a tool speaks."""

SILENT: Final = {
    "chatml",
    "deepseek_v2",
    "exaone35",
    "falcon3",
    "glm4",
    "granite31",
    "olmo2",
    "phi35",
    "phi4",
    "phi4_mini",
    "smollm2",
    "zephyr",
}
"""They write an empty answer where a tool is called."""

ERRORS: Final[dict[tuple[str, str], str]] = {
    **{(name, "tools"): REFUSED for name in (*ORDERED, *SILENT)},
    ("gemma2", "system"): REFUSED,  # it raises where there is a system turn
    ("deepseek_v3", "tools"): REFUSED,  # it wants the arguments of a call as text
    ("mistral_v3", "system"): HIDDEN,  # the system text is in the question only as long as nothing follows it
    ("qwen3", "turns"): HIDDEN,  # only the last answer has a thought
    ("qwen3", "tools"): HIDDEN,
    ("qwen3", "odd"): HIDDEN,
    ("qwen3", "open"): HIDDEN,
    **{("deepseek_r1", name): HIDDEN for name in ("one", "system", "turns", "tools", "odd", "open", "long")},
}
"""Which conversations cannot be trained on, with `loss_on: assistant`."""

ERRORS_OF_THE_LAST: Final = {
    key: code for key, code in ERRORS.items() if key not in {("qwen3", name) for name in ("turns", "tools", "odd")}
}
"""The same with `loss_on: last_assistant`: Qwen3's last answer is found, if nothing follows it."""


def expected(template: ChatTemplate, name: str, shape: Shape, loss_on: str) -> str | list[str]:
    """The pieces that are trained of the shape called `name`, or the code of the error."""
    errors = ERRORS if loss_on == "assistant" else ERRORS_OF_THE_LAST
    if found := errors.get((template.name, name)):
        return found
    pieces = [_written(template.name, words) + (template.end or "") for words in shape.answers]
    if template.name == "glm4":
        follows = len(pieces) - (shape.messages[-1]["role"] == "assistant")
        pieces = [piece + NEXT * (number < follows) for number, piece in enumerate(pieces)]
    if name == "tools" and template.name in CALLS:
        pieces[0] = CALLS[template.name]
    if template.name == "qwen3":
        pieces[-1] = NO_THOUGHT + pieces[-1]
    return pieces if loss_on == "assistant" else pieces[-1:]


def _written(family: str, words: str) -> str:
    said = words.strip() if family in TRIMMED else words
    return LEADS.get(family, "") + said + TAILS.get(family, "")


ENDED = "{{ '<|im_start|>' + turn.role + '\n' + turn.content + '<|im_end|>\n' }}"
ASKS = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
BEGIN, END = "{% generation %}", "{% endgeneration %}"
SAYS, STOPS = "{{ turn.content }}", "{{ '<|im_end|>' }}"


def looped(body: str, asks: str = ASKS) -> str:
    return "{% for turn in messages %}" + body + "{% endfor %}" + asks


def turned(answer: str) -> str:
    """A turn of ChatML. `answer`: what is written after who speaks where that is the assistant."""
    other = "{{ turn.content + '<|im_end|>\n' }}"
    return (
        "{{ '<|im_start|>' + turn.role + '\n' }}{% if turn.role == 'assistant' %}"
        + answer
        + "{% else %}"
        + other
        + "{% endif %}"
    )


def marked(answer: str) -> str:
    """ChatML with marks in the turns of the assistant."""
    return looped(turned(answer))


LIES: Final = {
    "the past is shouted": looped(ENDED.replace("turn.content", "(turn.content if loop.last else turn.content|upper)")),
    "the length comes first": "{{ messages | length }}" + looped(ENDED),
    "it asks for another speaker": looped(ENDED, ASKS.replace("assistant", "model")),
    "it asks with a thought": looped(ENDED, ASKS.replace("\n", "\n<think>")),
    "only the last turn is there": "{% set turn = messages[-1] %}" + ENDED + ASKS,
    "everything is shouted": looped(ENDED.replace("turn.content", "turn.content|upper")),
    "it does not ask, and counts": looped("{{ turn.content | length }}" + ENDED, ""),
}
"""Templates without marks."""

MISPLACED: Final = {
    "in a macro": "{% macro say(turn) %}"
    + turned(BEGIN + SAYS + STOPS + END)
    + "{% endmacro %}"
    + looped("{{ say(turn) }}"),
    "in a block": looped("{% set said %}" + turned(BEGIN + SAYS + STOPS + END) + "{% endset %}{{ said }}"),
    "around everything": BEGIN + looped(ENDED) + END,
    "around every turn": looped(BEGIN + ENDED + END),
    "around ends": marked(SAYS + BEGIN + STOPS + END),
    "two an answer, which has no fixed place": "{{ messages | length }}"
    + marked(BEGIN + SAYS + END + BEGIN + STOPS + END),
}
"""Where marks are that do not hold the answers, or more."""
