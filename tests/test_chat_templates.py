"""What is trained of a conversation, in the chat templates of two dozen model families as their models ship them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from chat_corpus import CALL, CATALOG, CATALOGED, SHAPES, ChatTemplate, Shape, corpus, make_tokenizer
from chat_expectations import (
    ASKS,
    BEGIN,
    END,
    ENDED,
    HIDDEN,
    LIES,
    MISPLACED,
    NO_THOUGHT,
    REFUSED,
    SAYS,
    STOPS,
    expected,
    looped,
    marked,
)

from backends.native.data import IGNORED, Encoder, Tokens
from backends.native.findings import RowError
from backends.native.formats import Message, Row

CORPUS = corpus()
MARKS = re.compile(r"\{%-? (?:end)?generation -?%\}")


@cache
def tokenizer_of(name: str) -> Any:
    return make_tokenizer(CORPUS[name])


def with_template(text: str, name: str = "chatml") -> Any:
    """A family's tokenizer with another template."""
    template = CORPUS[name]
    return make_tokenizer(ChatTemplate(name, text, template.tokens, template.eos, template.bos, template.end))


def encode(tokenizer: Any, shape: Shape, loss_on: str) -> Tokens | RowError:
    row = Row("here", 1.0, shape.messages, shape.tools)
    ((_, found),) = Encoder(tokenizer, loss_on).encode([row])
    return found


def trained(tokenizer: Any, shape: Shape, loss_on: str = "assistant") -> str | list[str]:
    """Every stretch of tokens that the loss sees, as text; the code where there is an error."""
    found = encode(tokenizer, shape, loss_on)
    if isinstance(found, RowError):
        return found.code
    pieces: list[list[int]] = [[]]
    for token, label in zip(found.ids, found.labels, strict=True):
        assert label in (token, IGNORED)
        if label != IGNORED:
            pieces[-1].append(token)
        elif pieces[-1]:
            pieces.append([])
    return [tokenizer.decode(piece) for piece in pieces if piece]


def talk(*said: str, **more: Any) -> Shape:
    """User and assistant by turns. `more`: what the last turn has besides."""
    turns: list[Message] = [
        {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(said)
    ]
    turns[-1].update(more)
    return Shape(tuple(turns))


# --- real families


@pytest.mark.parametrize("loss_on", ["assistant", "last_assistant"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CORPUS)
def test_answers_and_their_ends_are_trained_and_nothing_else(name: str, shape: str, loss_on: str) -> None:
    wanted = expected(CORPUS[name], shape, SHAPES[shape], loss_on)
    assert trained(tokenizer_of(name), SHAPES[shape], loss_on) == wanted


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_has_no_marks_and_its_tokens_are_tokens(name: str) -> None:
    template, tokenizer = CORPUS[name], tokenizer_of(name)
    assert not MARKS.search(template.text)
    assert all(len(tokenizer.encode(token, add_special_tokens=False)) == 1 for token in template.tokens)
    assert {template.eos, template.bos, template.end} <= {*template.tokens, None}


def test_every_catalog_template_is_looked_at() -> None:
    assert {path.stem for path in CATALOG.glob("*.jinja")} == CATALOGED.keys()


@pytest.mark.parametrize("loss_on", ["assistant", "last_assistant"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CATALOGED)
def test_marks_and_what_is_found_without_them_are_the_same_tokens(name: str, shape: str, loss_on: str) -> None:
    marked = (CATALOG / f"{name}.jinja").read_text("utf-8")
    plain = MARKS.sub("", marked)
    assert plain != marked
    one, two = (with_template(text, CATALOGED[name]) for text in (marked, plain))
    first, second = (encode(tokenizer, SHAPES[shape], loss_on) for tokenizer in (one, two))
    if isinstance(first, RowError):
        assert isinstance(second, RowError)
        assert first.code == second.code == REFUSED
        return
    assert isinstance(second, Tokens)
    assert (first.ids, first.spans) == (second.ids, second.spans)
    assert first.trained


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("ours", "family"),
    [
        ("chatml", "chatml"),
        ("chatml", "qwen25"),
        ("chatml", "smollm2"),
        ("gemma", "gemma2"),
        ("gemma", "gemma3"),
        ("llama3", "llama31"),
        ("mistral", "mistral_v3"),
        ("phi3", "phi35"),
        ("zephyr", "zephyr"),
    ],
)
def test_a_marked_template_of_the_family_trains_the_same_answers(ours: str, family: str, shape: str) -> None:
    theirs = expected(CORPUS[family], shape, SHAPES[shape], "assistant")
    marked = with_template((CATALOG / f"{ours}.jinja").read_text("utf-8"), family)
    found = trained(marked, SHAPES[shape])
    if shape == "tools":
        assert found == REFUSED  # ours know no tools
    elif isinstance(theirs, str):
        assert found == trained(marked, SHAPES["one"])  # ours take what the family refuses: a system text
    else:
        assert found == theirs


def test_arguments_as_text_are_what_some_templates_want() -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    told = SHAPES["tools"].messages
    shape = Shape(
        (told[0], {"role": "assistant", "content": "", "tool_calls": [call]}, *told[2:]), SHAPES["tools"].tools
    )
    written = 'function<｜tool▁sep｜>weather\n```json\n{"city": "Oslo"}\n```'
    assert trained(tokenizer_of("deepseek_v3"), shape) == [
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{written}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>",
        "It rains there.<｜end▁of▁sentence｜>",
    ]


# --- thoughts


def test_qwen3_drops_earlier_thoughts_and_its_last_answer_is_found() -> None:
    first = talk("1 + 1?", "2", reasoning_content="One more.")
    assert trained(tokenizer_of("qwen3"), first) == ["<think>\nOne more.\n</think>\n\n2<|im_end|>"]
    later = Shape((*first.messages, *talk("And 2 + 2?", "4", reasoning_content="Twice two.").messages))
    assert trained(tokenizer_of("qwen3"), later) == HIDDEN
    assert trained(tokenizer_of("qwen3"), later, "last_assistant") == ["<think>\nTwice two.\n</think>\n\n4<|im_end|>"]


def test_qwen3_calls_with_thoughts_are_all_found() -> None:
    """Between the question and its answer nothing is dropped."""
    asked, called, result, said = SHAPES["tools"].messages
    shape = Shape((asked, {**called, "reasoning_content": "I ask."}, result, said), SHAPES["tools"].tools)
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert trained(tokenizer_of("qwen3"), shape) == [
        f"<think>\nI ask.\n</think>\n\n{call}<|im_end|>",
        f"{NO_THOUGHT}It rains there.<|im_end|>",
    ]


@pytest.mark.parametrize("said", ["2", "<think>\nOne more.\n</think>\n\n2"])
def test_r1_never_writes_what_it_is_asked_for(said: str) -> None:
    for loss_on in ("assistant", "last_assistant"):
        assert trained(tokenizer_of("deepseek_r1"), talk("1 + 1?", said), loss_on) == HIDDEN


# --- templates that lie


PAST = talk("one?", "two", "three?", "four")


@pytest.mark.parametrize("lie", LIES)
def test_a_template_whose_answers_have_no_fixed_place_is_found_out(lie: str) -> None:
    assert trained(with_template(LIES[lie]), PAST) == HIDDEN


@pytest.mark.parametrize("asks", ["", ASKS.replace(" %}", " and messages[-1].role == 'user' %}", 1)])
def test_who_speaks_is_not_learnt_though_the_template_does_not_ask(asks: str) -> None:
    """Never, or not for what the assistant says after its own words."""
    messages = (*PAST.messages, {"role": "assistant", "content": " five"})
    found = trained(with_template(looped(ENDED, asks)), Shape(messages))
    assert found == ["two<|im_end|>", "four<|im_end|>", " five<|im_end|>"]


def test_the_only_end_there_is_stays_with_the_last_answer() -> None:
    """It stands after the conversation, not after a turn; without it the model would learn not to stop."""
    script = looped(
        "{{ turn.role + ': ' + turn.content + '\n' }}", "{{ 'assistant:' if add_generation_prompt else eos_token }}"
    )
    assert trained(with_template(script), talk("one?", "two")) == [" two\n<|im_end|>"]
    assert trained(with_template(script), PAST, "last_assistant") == [" four\n<|im_end|>"]
    assert trained(with_template(script), PAST) == HIDDEN


@pytest.mark.parametrize("nothing", [BEGIN + END, "{% if false %}" + BEGIN + SAYS + END + "{% endif %}"])
def test_marks_around_nothing_train_nothing(nothing: str) -> None:
    assert trained(with_template(marked(nothing + SAYS + STOPS + "\n")), PAST) == []
    assert trained(with_template(marked(SAYS + nothing + STOPS + "\n")), PAST) == []


@pytest.mark.parametrize("family", ["chatml", "gemma3"])
def test_the_end_of_a_turn_just_after_the_mark_is_trained(family: str) -> None:
    """Whether it is the end of the sequence too, as in ChatML's tokenizers, or not, as in Gemma's."""
    end = CORPUS[family].end or ""
    template = marked(BEGIN + SAYS + END + STOPS + "\n").replace("<|im_end|>", end)
    assert trained(with_template(template, family), PAST) == [f"two{end}", f"four{end}"]
    assert trained(with_template(template, family), PAST, "last_assistant") == [f"four{end}"]


def test_what_follows_an_end_inside_the_mark_is_not_trained() -> None:
    assert trained(with_template(marked(BEGIN + SAYS + STOPS + "\n" + END)), PAST) == [
        "two<|im_end|>",
        "four<|im_end|>",
    ]
    assert trained(with_template(marked(BEGIN + SAYS + STOPS + END)), PAST) == ["two<|im_end|>", "four<|im_end|>"]


@pytest.mark.parametrize("past", ["turn.content", "(turn.content if loop.last else turn.content|upper)"])
def test_the_last_answer_is_all_of_its_marks(past: str) -> None:
    """Where a template marks an answer in two pieces; where it rewrites the past, nobody knows which belong to it."""
    thought = "{% if turn.thought %}" + BEGIN + "{{ turn.thought }}" + END + "{{ '\n' }}{% endif %}"
    template = marked(thought + BEGIN + "{{ " + past + " }}" + STOPS + END + "\n").replace(
        "{{ turn.content +", "{{ " + past + " +"
    )
    shape = talk("one?", "two", "three?", "four", thought="2 + 2")
    kept = HIDDEN if "upper" in past else ["2 + 2", "four<|im_end|>"]
    assert trained(with_template(template), shape, "last_assistant") == kept
    assert trained(with_template(template), PAST, "last_assistant") == ["four<|im_end|>"]


def test_marks_of_the_last_answer_alone_are_believed() -> None:
    template = marked("{% if loop.last %}" + BEGIN + SAYS + STOPS + END + "{% else %}" + SAYS + STOPS + "{% endif %}\n")
    for loss_on in ("assistant", "last_assistant"):
        assert trained(with_template(template), PAST, loss_on) == ["four<|im_end|>"]


@pytest.mark.parametrize("lie", MISPLACED)
def test_marks_that_do_not_hold_the_answers_are_found_out(lie: str) -> None:
    assert trained(with_template(MISPLACED[lie]), PAST, "last_assistant") == HIDDEN


@pytest.mark.parametrize("loss_on", ["assistant", "last_assistant"])
def test_what_the_invitation_writes_of_a_mark_is_not_trained(loss_on: str) -> None:
    thinks = marked(BEGIN + "<think>\n" + SAYS + STOPS + END).removesuffix(ASKS) + ASKS.replace("\n", "\n<think>\n")
    kept = ["two<|im_end|>", "four<|im_end|>"]
    assert trained(with_template(thinks), PAST, loss_on) == (kept if loss_on == "assistant" else kept[1:])


def test_a_mark_in_a_comment_is_none() -> None:
    assert trained(with_template("{# " + BEGIN + "\n#}" + looped(ENDED)), PAST) == ["two<|im_end|>", "four<|im_end|>"]


# --- tokens across an edge


def test_a_token_that_begins_before_the_answer_belongs_to_it() -> None:
    """The line break after who speaks and those that the answer begins with are one token."""
    assert trained(tokenizer_of("chatml"), talk("one?", "\n\ntwo")) == ["\n\n\ntwo<|im_end|>"]


def test_an_answer_without_words_is_its_end() -> None:
    assert trained(tokenizer_of("chatml"), talk("one?", "")) == ["<|im_end|>"]
    assert trained(tokenizer_of("phi35"), talk("one?", "", "two?", "")) == ["<|end|>", "<|end|>"]
