"""Where trained text begins and ends when words of the rows look like the template's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from native_base import LLAMA3, UNMARKED, make_tokenizer
from tokenizers import AddedToken, processors

from backends.native.data import Encoder, Tokens
from backends.native.formats import Row

END = "<|eot_id|>"
CALL = "<tool>x</tool>"
LATER = (
    "{% for m in messages %}{% if m.role == 'user' and not loop.first %}<|eot_id|>{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
"""Ends a turn where the next one begins, and the last not at all."""


def tokenizer(template: str) -> Any:
    made = make_tokenizer()
    made.add_tokens([AddedToken(token, special=False) for token in ("<tool>", "</tool>")])
    made.chat_template = template
    return made


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def learnt(made: Any, row: Row, loss_on: str = "assistant") -> list[str]:
    ((_, found),) = Encoder(made, loss_on).encode([row])
    assert isinstance(found, Tokens), found
    return [made.decode(found.ids[start:end]) for start, end in found.spans]


@pytest.mark.parametrize("said", [CALL, "car", f"car{CALL} ", END])
@pytest.mark.parametrize("template", [LLAMA3, UNMARKED], ids=["marked", "unmarked"])
def test_answers_that_end_with_a_token_of_their_own(template: str, said: str) -> None:
    row = Row("here", 1.0, (turn("user", "a"), turn("assistant", said), turn("user", "b"), turn("assistant", "car")))
    assert learnt(tokenizer(template), row) == [f"{said.strip()}{END}", f"car{END}"]


@pytest.mark.parametrize("said", [CALL, "car", f"car{CALL}"])
def test_marks_that_end_before_the_end_of_turn(said: str) -> None:
    template = "".join(
        (
            "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>",
            "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}",
            "{% endif %}<|eot_id|>{% endfor %}",
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{% endif %}",
        )
    )
    row = Row("here", 1.0, (turn("user", "a"), turn("assistant", said), turn("user", "b"), turn("assistant", said)))
    assert learnt(tokenizer(template), row) == [f"{said}{END}"] * 2


@pytest.mark.parametrize("said", [CALL, "car"])
def test_turns_that_end_where_the_next_begins(said: str) -> None:
    row = Row("here", 1.0, (turn("user", "a"), turn("assistant", said), turn("user", "b"), turn("assistant", said)))
    assert learnt(tokenizer(LATER), row) == [f"{said}{END}", said]


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("head", ["", "<|begin_of_text|>"])
@pytest.mark.parametrize("tail", ["", END])
@pytest.mark.parametrize("prompt", ["", "two "])
def test_text_has_one_beginning_and_one_end(begins: bool, ends: bool, head: str, tail: str, prompt: str) -> None:
    """Whoever puts them there: the tokenizer, the row, or ftc."""
    made = make_tokenizer()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{'<|begin_of_text|> ' * begins}$A{f' {END}' * ends}",
        special_tokens=[("<|begin_of_text|>", made.bos_token_id), (END, made.eos_token_id)],
    )
    text = f"car{tail}" if prompt else f"{head}car{tail}"
    ((_, found),) = Encoder(made, "assistant").encode([Row("here", 1.0, prompt=prompt and head + prompt, text=text)])
    assert isinstance(found, Tokens)
    start = "<|begin_of_text|>" if begins or head else ""
    assert made.decode(found.ids) == f"{start}{prompt}car{END}"
    learnt = "".join(made.decode(found.ids[first:last]) for first, last in found.spans).strip()
    # The very first token is never trained: nothing comes before it.
    assert learnt == f"car{END}" if start or prompt else learnt.endswith(END)


def test_what_a_template_never_writes_is_known() -> None:
    assert Encoder(tokenizer(LLAMA3), "assistant").ignored == {"tools", "reasoning_content"}
    wide = "{{ tools | tojson if tools }}" + LATER.replace(
        "{{ m.content }}", "{{ m.reasoning_content }}{{ m.content }}"
    )
    assert Encoder(tokenizer(wide), "assistant").ignored == set()


def test_calls_that_are_left_out_are_an_error() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": json.dumps({"c": 1})}}
    row = Row("here", 1.0, (turn("user", "a"), turn("assistant", "Let me look.", tool_calls=[call])))
    ((_, found),) = Encoder(tokenizer(LLAMA3), "assistant").encode([row])
    assert not isinstance(found, Tokens)
    assert found.code == "FTC523"
