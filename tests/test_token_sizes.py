"""Where tokens begin: what is summed up for tokenizers of bytes is what the tokenizer itself would say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import starmap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_base import COLORS, LLAMA3, SPECIALS, UNMARKED, make_tokenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from backends.native.data import IGNORED, Encoder, Tokens
from backends.native.formats import Row
from backends.native.spans import Sizes, slowly

PIECES = (
    *("car", " car", "  two", " ", "   ", "\n", "\n\n", " \n", "\t", "\r\n", "7", "don't", "{x: [1]}", "_", "ꟲ"),
    *("é", "e\u0301", "\u212b", "\u1100\u1161", "ﬁ", "青い", "👍🏽", "\u00a0", "\u2003", "\u0301", "q\u0323\u0307"),
    *SPECIALS,
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def trained(pre: Any = None, post: Any = None, normalizer: Any = None, added: tuple[Any, ...] = ()) -> Tokenizer:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator([f"The car is  {color}, 青い é.\n\n" for color in COLORS] * 3, trainer)
    inner.add_special_tokens(list(SPECIALS))
    inner.add_tokens(list(added))
    if post:
        inner.post_processor = post
    if normalizer:
        inner.normalizer = normalizer
    return inner


def split() -> Any:
    """As Llama 3 has it, in short."""
    words = pre_tokenizers.Split(Regex(r"\s?\p{L}+|\p{N}|\s+|."), "isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def template() -> Any:
    return processors.TemplateProcessing(single="<|pad|> $A", special_tokens=[("<|pad|>", 330)])


def bytewise(trims: bool) -> Any:
    return processors.ByteLevel(trim_offsets=trims)


SUMMED: dict[str, Callable[[], Tokenizer]] = {
    "bare": trained,
    "split": lambda: trained(split()),
    "with a beginning": lambda: trained(post=template()),
    "not trimmed": lambda: trained(split(), bytewise(False)),
    "trimmed": lambda: trained(post=bytewise(True)),
    "split and trimmed": lambda: trained(split(), processors.Sequence([bytewise(True), template()])),
    "composed": lambda: trained(normalizer=normalizers.NFC()),
    "with words": lambda: trained(added=("car", AddedToken("two", single_word=True), "é")),
}
ASKED: dict[str, Callable[[], Tokenizer]] = {
    "with a space in front": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "compatible": lambda: trained(normalizer=normalizers.NFKC()),
    "small letters": lambda: trained(normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])),
    "swallowing what follows": lambda: trained(added=(AddedToken("car", rstrip=True),)),
    "swallowing what is before": lambda: trained(added=(AddedToken("car", lstrip=True),)),
    "with spaces as a token": lambda: trained(post=bytewise(True), added=("  ",)),
}


@cache
def made(what: str) -> Tokenizer:
    return (SUMMED | ASKED)[what]()


@pytest.mark.parametrize("what", SUMMED)
@settings(max_examples=400)
@given(TEXTS, st.data())
def test_sums_are_what_the_tokenizer_says(what: str, text: str, data: st.DataObject) -> None:
    inner = made(what)
    sizes = Sizes.of(inner)
    assert sizes
    ends = st.integers(0, len(text))
    edges = sorted(data.draw(st.lists(ends, max_size=10)))
    wanted = list(zip(edges[::2], edges[1::2], strict=False))
    (found,) = inner.encode_batch_fast([text], add_special_tokens=False)
    (expected,) = starmap(Tokens, slowly(inner, [(text, wanted)], special=False))
    assert found.ids == expected.ids
    assert sizes.spans(found.ids, (text, wanted)) in (None, expected.spans)
    assert expected.trained == sum(label != IGNORED for label in expected.labels)


@pytest.mark.parametrize("what", SUMMED)
def test_ordinary_text_needs_only_sums(what: str) -> None:
    inner = made(what)
    text = "<|start_header_id|>user<|end_header_id|>\n\nIs it 青い?<|eot_id|>"
    (found,) = inner.encode_batch_fast([text], add_special_tokens=False)
    sizes = Sizes.of(inner)
    assert sizes
    assert sizes.spans(found.ids, (text, [(text.index("Is"), len(text))]))


@pytest.mark.parametrize("what", ASKED)
def test_other_tokenizers_are_asked(what: str) -> None:
    assert Sizes.of(made(what)) is None


@pytest.mark.parametrize("chat_template", [LLAMA3, UNMARKED, UNMARKED.replace("+ '<|eot_id|>'", "+ ' '")])
@pytest.mark.parametrize("trims", [False, True])
@given(st.lists(st.lists(TEXTS, min_size=2, max_size=4), max_size=5))
def test_conversations_have_the_same_tokens_either_way(chat_template: str, trims: bool, rows: list[list[str]]) -> None:
    tokenizer = chats_tokenizer(trims)
    tokenizer.chat_template = chat_template
    conversations = [
        Row(
            "here",
            1.0,
            tuple({"role": ("user", "assistant")[at % 2], "content": said} for at, said in enumerate(turns)),
        )
        for turns in rows
    ]
    quick, slow = Encoder(tokenizer, "assistant"), Encoder(tokenizer, "assistant")
    slow._sizes = None
    found, expected = ([tokens for _, tokens in each.encode(conversations)] for each in (quick, slow))
    assert [isinstance(each, Tokens) for each in found] == [isinstance(each, Tokens) for each in expected]
    assert [each for each in found if isinstance(each, Tokens)] == [
        each for each in expected if isinstance(each, Tokens)
    ]


@cache
def chats_tokenizer(trims: bool) -> Any:
    tokenizer = make_tokenizer()
    if trims:
        tokenizer.backend_tokenizer.post_processor = bytewise(True)
    return tokenizer
