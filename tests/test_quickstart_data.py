"""The quickstart: the held-out part is unknown to the base and to training, and all is as described."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

QUICKSTART = Path(__file__).resolve().parent.parent / "recipes" / "quickstart"
PARTS = ("train", "validation", "heldout")
MEGABYTE = 1_000_000
EXERCISES_SEEN = 100_000  # the base saw 91,686, in the same order: see base/README.md

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " 7 March 2021 "},
    {"role": "assistant", "content": "2021-03-07"},
    {"role": "user", "content": "7.3."},
    {"role": "assistant", "content": "Which year?"},
]
RENDERED = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n7 March 2021<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n2021-03-07<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n7.3.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nWhich year?<|eot_id|>"
)


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"quickstart_{name}", QUICKSTART / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_pairs(part: str) -> list[tuple[str, str]]:
    lines = (QUICKSTART / "data" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    chats = [json.loads(line)["messages"] for line in lines]
    assert all([turn["role"] for turn in chat] == ["user", "assistant"] for chat in chats)
    return [(chat[0]["content"], chat[1]["content"]) for chat in chats]


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[tuple[str, str]]]:
    return {part: read_pairs(part) for part in PARTS}


@pytest.fixture(scope="module")
def corpus() -> str:
    return (QUICKSTART / "corpus.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def exercises() -> ModuleType:
    return load_script("exercises")


@pytest.fixture(scope="module")
def seen_by_base(exercises: ModuleType, corpus: str) -> list[str]:
    """Every question and every answer of the base's exercises."""
    maker = exercises.Maker(exercises.SEED, exercises.common_words(corpus))
    return [text for exercise in islice(maker, EXERCISES_SEEN) for text in exercise[1:]]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    import transformers

    tokenizers: Any = transformers.AutoTokenizer
    return tokenizers.from_pretrained(QUICKSTART / "base")


def test_parts_are_large_enough(pairs: dict[str, list[tuple[str, str]]]) -> None:
    assert len(pairs["train"]) >= 4000
    assert len(pairs["validation"]) >= 200
    assert len(pairs["heldout"]) >= 300


def test_no_input_and_no_answer_occurs_twice(pairs: dict[str, list[tuple[str, str]]]) -> None:
    rows = [pair for part in PARTS for pair in pairs[part]]
    inputs, answers = zip(*rows, strict=True)
    assert len(set(inputs)) == len(rows)
    assert len(set(answers)) == len(rows)
    assert not set(inputs) & set(answers)


def test_answers_are_the_dates_of_the_inputs(pairs: dict[str, list[tuple[str, str]]]) -> None:
    from datetime import date

    make_data = load_script("make_data")
    for part in PARTS:
        for question, answer in pairs[part]:
            day = date.fromisoformat(answer)
            assert question in {make_data.written(day, form) for form in make_data.FORMATS}


def test_heldout_is_not_in_the_corpus(pairs: dict[str, list[tuple[str, str]]], corpus: str) -> None:
    assert not [text for pair in pairs["heldout"] for text in pair if text in corpus]
    assert not re.search(r"\d{4}-\d{1,2}-\d{1,2}", corpus)


def test_heldout_is_not_in_the_exercises(
    pairs: dict[str, list[tuple[str, str]]], seen_by_base: list[str], exercises: ModuleType
) -> None:
    everything = "\n".join(seen_by_base)
    assert not [text for pair in pairs["heldout"] for text in pair if text in everything]
    assert all(exercises.leaks_a_date(text) for pair in pairs["heldout"] for text in pair)


def test_no_exercise_holds_a_date(seen_by_base: list[str]) -> None:
    everything = "\n\n\n".join(seen_by_base)
    months = load_script("make_data").MONTHS
    name = "(?:" + "|".join([*months, *(month[:3] for month in months)]) + ")"
    in_numbers = (r"\d+-\d+-\d+", r"\d+\.\d+\.\d+", r"\d+/\d+/\d+")
    in_words = (rf"\b{name} \d", rf"\d(?:st|nd|rd|th)? (?:of )?{name}\b")
    for form in in_numbers + in_words:
        assert re.findall(form, everything) == []


def test_data_is_the_same_again(tmp_path: Path, pairs: dict[str, list[tuple[str, str]]]) -> None:
    make_data = load_script("make_data")
    for part, rows in make_data.make_parts().items():
        make_data.write(tmp_path / f"{part}.jsonl", rows)
        assert (tmp_path / f"{part}.jsonl").read_bytes() == (QUICKSTART / "data" / f"{part}.jsonl").read_bytes()
        assert rows == pairs[part]


def test_control_keeps_no_answer_at_its_place(pairs: dict[str, list[tuple[str, str]]]) -> None:
    control = load_script("make_data").shuffled(pairs["train"])
    assert [question for question, _ in control] == [question for question, _ in pairs["train"]]
    assert sorted(answer for _, answer in control) == sorted(answer for _, answer in pairs["train"])
    assert not set(control) & set(pairs["train"])


def test_base_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in (QUICKSTART / "base").iterdir()}
    assert sum(files.values()) <= 8 * MEGABYTE
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "README.md",
    } <= set(files)


def test_digits_are_single_tokens_and_nothing_is_unknown(tokenizer: Any) -> None:
    text = "1987-03 ünï ☃ 2021"
    tokens = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(tokens) == text
    assert [piece for piece in map(tokenizer.decode, tokens) if piece.isdigit()] == list("1987032021")


def test_special_tokens_are_llama_3s(tokenizer: Any) -> None:
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|begin_of_text|>", "<|eot_id|>")
    assert tokenizer.padding_side == "right"
    assert tokenizer.pad_token not in (tokenizer.bos_token, tokenizer.eos_token)
    for token in re.findall(r"<\|.*?\|>", RENDERED):
        assert tokenizer.encode(token, add_special_tokens=False) == [tokenizer.convert_tokens_to_ids(token)]


def test_chat_template_is_llama_3s_format(tokenizer: Any) -> None:
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == RENDERED
    prompt = tokenizer.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    assert prompt == RENDERED[: RENDERED.index("2021-03-07")]


def test_only_answers_and_their_ends_are_trained(tokenizer: Any) -> None:
    chat = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    trained = [token for token, mask in zip(chat["input_ids"], chat["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(trained) == "2021-03-07<|eot_id|>Which year?<|eot_id|>"
    assert chat["input_ids"] == tokenizer.encode(RENDERED, add_special_tokens=False)


def test_rows_fit_the_recipe(tokenizer: Any, pairs: dict[str, list[tuple[str, str]]]) -> None:
    recipe = (QUICKSTART / "quickstart.ftc.yaml").read_text(encoding="utf-8")
    written = re.search(r"max_length: (\d+) +# tokens; the longest conversation here has (\d+)", recipe)
    assert written
    limit, longest = map(int, written.groups())
    turns = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for part in PARTS
        for question, answer in pairs[part]
    ]
    chats = tokenizer.apply_chat_template(turns, tokenize=False)
    lengths = map(len, tokenizer(chats, add_special_tokens=False)["input_ids"])
    assert max(lengths) == longest <= limit
