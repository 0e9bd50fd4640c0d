"""Shape: every mistake once, at its place, with words that help; and what is left can still be checked."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.check import MOST, Checked, check
from compiler.locate import locate
from compiler.overrides import override
from compiler.source import Source, parse
from schemas.diagnostic import Diagnostic, Span
from schemas.method import LoraMethod

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
MINIMAL = """\
version: 1
name: example
model: {base: llama-3.1-8b}
method: {kind: lora}
data: {train: {path: data/train.jsonl}}
"""


def said(text: str, *sets: str) -> list[Diagnostic]:
    source = override(parse(text, "r"), sets)
    found = [*source.diagnostics, *(locate(item, source) for item in check(source).findings)]
    return sorted(found, key=lambda item: (item.file, item.span.line, item.span.column))


def checked(text: str, *sets: str) -> Checked:
    return check(override(parse(text, "r"), sets))


def test_the_smallest_recipe_is_one() -> None:
    assert said(MINIMAL) == []


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_shipped_recipes_have_no_mistakes_of_shape(file: Path) -> None:
    assert said(file.read_text(encoding="utf-8")) == []


def test_empty_sections_mean_their_defaults() -> None:
    sections = ["training", "evaluation", "checkpoint", "logging", "output", "hardware", "targets"]
    text = MINIMAL + "".join(f"{section}:\n" for section in sections)
    text = text.replace("model: {base: llama-3.1-8b}", "$schema: ./x.json\nmodel: {base: llama-3.1-8b, tokens: }")
    found, plain = checked(text), checked(MINIMAL)
    assert found.findings == ()
    assert found.recipe
    assert plain.recipe
    assert found.recipe.model_dump(exclude={"schema_"}) == plain.recipe.model_dump(exclude={"schema_"})


MISTAKES = """\
version: 1
name: My Recipe
model:
  base: llama-3.1-8b
  dtype: bf16
  revison: main
method:
  kind: qlora
  rank: 0
  alpha: "32"
  virtual_tokens: 20
  target_modules: [q_proj, 3]
  quantization: {bits: 5}
data:
  train:
    - path: a.jsonl
      limit: 1.5
    - pth: b.jsonl
    - c.jsonl
  validation: 0
  packing: no
training:
  betas: [0.9, 0.95, 1]
  epochs: .nan
  warmup: 1.5
  max_length: 4096
logging: {to: wandb}
hardware: 8
"""
FOUND = [
    (2, 7, "FTC103", "name", None),
    (5, 10, "FTC103", "model.dtype", 'this is called "bfloat16" here'),
    (6, 3, "FTC102", "model.revison", 'did you mean "revision"?'),
    (9, 9, "FTC103", "method.rank", None),
    (10, 10, "FTC103", "method.alpha", "write the number without quotes"),
    (11, 3, "FTC104", "method.virtual_tokens", "remove it, or choose another kind than qlora"),
    (12, 28, "FTC103", "method.target_modules[1]", None),
    (13, 24, "FTC103", "method.quantization.bits", None),
    (17, 14, "FTC103", "data.train[0].limit", None),
    (18, 7, "FTC102", "data.train[1].pth", 'did you mean "path"?'),
    (19, 7, "FTC103", "data.train[2]", "write `path: c.jsonl` on a line of its own below, indented"),
    (20, 15, "FTC103", "data.validation", None),
    (21, 12, "FTC103", "data.packing", "write false"),
    (23, 10, "FTC103", "training.betas", None),
    (24, 11, "FTC103", "training.epochs", None),
    (25, 11, "FTC103", "training.warmup", None),
    (26, 3, "FTC102", "training.max_length", "max_length belongs under data"),
    (27, 15, "FTC103", "logging.to", "write it as a list: [wandb]"),
    (
        28,
        11,
        "FTC103",
        "hardware",
        "its keys stand on lines of their own below, indented: gpu, count, memory, nodes, strategy, offload, reserve",
    ),
]


def test_all_mistakes_in_one_pass_each_once() -> None:
    found = [(item.span.line, item.span.column, item.code, item.path, item.hint) for item in said(MISTAKES)]
    assert found == FOUND


def test_what_is_not_broken_is_kept() -> None:
    recipe = checked(MISTAKES).recipe
    assert recipe
    assert isinstance(recipe.method, LoraMethod)
    assert (recipe.method.kind, recipe.method.rank) == ("qlora", 16)
    assert (recipe.model.base, recipe.model.dtype) == ("llama-3.1-8b", "auto")


def test_what_is_broken_is_known() -> None:
    found = checked(MISTAKES)
    assert found.touches("method.rank")
    assert found.touches("method.quantization")
    assert found.touches("hardware.gpu")
    assert not found.touches("method.kind")
    assert not found.touches("training.optimizer")


@pytest.mark.parametrize(
    ("leaf", "value", "message"),
    [
        ("training.micro_batch_size", "x", 'expected auto or an integer >= 1, found "x"'),
        ("training.micro_batch_size", "true", "expected auto or an integer >= 1, found true"),
        ("training.micro_batch_size", "2.0", "expected auto or an integer >= 1, found 2.0"),
        ("training.learning_rate", "-1", "expected auto or a number > 0, found -1"),
        ("training.min_lr_ratio", "2", "expected a number in [0, 1], found 2"),
        ("training.gradient_checkpointing", "some", 'expected auto, selective, offload, true or false, found "some"'),
        ("training.betas", "[x, 0.9]", 'expected a number in [0, 1), found "x"'),
        ("training.betas", "[0.9]", "expected auto or a list of 2 numbers in [0, 1), found a list of 1"),
        ("evaluation.every", "1.5", "expected epoch, an integer >= 1, a number in (0, 1) or null, found 1.5"),
        ("hardware.memory", "22 gigs", "expected a size such as 22GiB or 24GB, an integer >= 1 or null"),
        ("data.train", "[]", "expected a source or a list of sources, found an empty list"),
        ("data.train", "data.jsonl", 'expected a source or a list of sources, found "data.jsonl"'),
        ("data.validation", "x", "expected a number in (0, 1), an integer >= 1, a source, a list of sources or null"),
        ("method.modules_to_save", "null", "expected a list of names, found nothing"),
        ("method.quantization", "4", "expected a section or null, found 4"),
        ("method.kind", "[lora]", "unknown method a list of 1"),
        ("logging.to", "[wandb, tensorbord]", "expected tensorboard, wandb, mlflow or trackio, found"),
        ("targets.axolotl", "3", "expected a mapping, found 3"),
    ],
)
def test_one_message_says_all_that_is_possible(leaf: str, value: str, message: str) -> None:
    [found] = said(MINIMAL, f"{leaf}={value}")
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (MINIMAL.replace("version: 1\n", ""), ["version"]),
        (MINIMAL.replace("{kind: lora}", ""), ["method.kind"]),
        (MINIMAL.replace("{kind: lora}", "{rank: 3}"), ["method.kind"]),
        (MINIMAL.replace("{base: llama-3.1-8b}", ""), ["model.base"]),
        (MINIMAL.replace("{base: llama-3.1-8b}", "{base: }"), ["model.base"]),
        (MINIMAL.replace("{train: {path: data/train.jsonl}}", "{train: }"), ["data.train"]),
        (MINIMAL.replace("{train: {path: data/train.jsonl}}", "{}"), ["data.train"]),
        (MINIMAL.replace("path: data/train.jsonl", "format: text"), ["data.train.path"]),
        ("{}", ["version", "name", "model", "method", "data"]),
    ],
)
def test_what_is_required_and_missing(text: str, paths: list[str]) -> None:
    found = said(text)
    assert [(item.code, item.path) for item in found] == [("FTC101", path) for path in paths]


@pytest.mark.parametrize("key", ["methd", "modle", "vresion"])
def test_a_misspelt_required_key_is_one_mistake(key: str) -> None:
    right = {"methd": "method", "modle": "model", "vresion": "version"}[key]
    [found] = said(re.sub(f"^{right}:", f"{key}:", MINIMAL, flags=re.MULTILINE))
    assert (found.code, found.path, found.hint) == ("FTC102", key, f'did you mean "{right}"?')


def test_inside_a_method_whose_kind_is_misspelt_leaves_are_checked_too() -> None:
    found = said(MINIMAL.replace("{kind: lora}", "{kind: qlroa, rank: 0}"))
    assert [(item.path, item.hint) for item in found] == [
        ("method.kind", 'did you mean "qlora"?'),
        ("method.rank", None),
    ]


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("method", "lora_r", "this is called method.rank here"),
        ("training", "per_device_train_batch_size", "this is called training.micro_batch_size here"),
        (
            *("training", "gradient_accumulation_steps"),
            "it follows: a global batch is micro_batch_size x devices x accumulation steps",
        ),
        ("training", "warmup_steps", "this is called training.warmup here"),
        ("training", "warmup_step", 'did you mean "warmup"?'),
        ("data", "seed", "seed belongs under training"),
        ("training", "learning-rate", 'did you mean "learning_rate"?'),
        ("training", "Epochs", 'did you mean "epochs"?'),
        ("output", "zzzzzz", "known here: dir, merge"),
    ],
)
def test_hints_for_unknown_keys(section: str, key: str, hint: str) -> None:
    text = MINIMAL if section in ("method", "data") else f"{MINIMAL}{section}: {{}}\n"
    text = re.sub(rf"^({section}: {{)", rf"\1{key}: 1, ", text, flags=re.MULTILINE).replace(", }", "}")
    [found] = said(text)
    assert found.hint == hint


def test_a_merge_key_is_the_only_thing_said_of_its_section() -> None:
    found = said(MINIMAL.replace("method: {kind: lora}", "targets: {axolotl: &x {kind: lora}}\nmethod: {<<: *x}"))
    assert [item.code for item in found] == ["FTC005"]


def test_an_alias_is_not_changed_by_a_repair_elsewhere() -> None:
    text = "x: &x {every: 0}\n" + MINIMAL + "evaluation: *x\ncheckpoint: {every: 5}\n"
    assert [(item.code, item.path) for item in said(text)] == [("FTC102", "x"), ("FTC103", "evaluation.every")]


def test_findings_below_what_was_written_stand_at_the_nearest_key() -> None:
    [found] = said(MINIMAL.replace("method: {kind: lora}", "method: {rank: 3}"))
    assert found.span == Span(4, 1, 4, 7)


# --set


def test_options_change_leaves_and_are_typed() -> None:
    recipe = checked(
        MINIMAL,
        "training.learning_rate=1e-5",
        "training.betas=[0.9, 0.95]",
        "data.train.path=other.jsonl",
        "data.validation=null",
        "name=other",
        "hardware.gpu=",
    ).recipe
    assert recipe
    assert (recipe.training.learning_rate, recipe.training.betas) == (1e-5, (0.9, 0.95))
    assert (recipe.data.train.path if not isinstance(recipe.data.train, tuple) else "") == "other.jsonl"
    assert (recipe.data.validation, recipe.name, recipe.hardware.gpu) == (None, "other", None)


def test_options_remove_and_the_default_stands() -> None:
    recipe = checked(MINIMAL + "training: {epochs: 3}\n", "~training.epochs", "~hardware.memory").recipe
    assert recipe
    assert recipe.training.epochs == 1


def test_options_remove_what_another_method_has_not() -> None:
    text = MINIMAL.replace("{kind: lora}", "{kind: lora, rank: 8}")
    for options in (("method.kind=full", "~method.rank"), ("~method.rank", "method.kind=full")):
        assert said(text, *options) == []


def test_a_finding_that_a_removal_causes_stands_in_the_option() -> None:
    [found] = said(MINIMAL, "~data.train")
    assert (found.code, found.path, found.file) == ("FTC101", "data.train", "--set")


def test_options_for_text_are_text() -> None:
    recipe = checked(MINIMAL, "data.system=123", "model.revision=1e5").recipe
    assert recipe
    assert (recipe.data.system, recipe.model.revision) == ("123", "1e5")


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ('version="1"', "write the number without quotes"),
        ('hardware.memory="22"', "write 22GiB"),
        ("hardware.memory=22gib", "write 22GiB"),
        ("hardware.memory=22G", "write 22GiB"),
        ("model.attention=flash", 'this is called "flash_attention_2" here'),
        ("model=org/base", "write `base: org/base` on a line of its own below, indented"),
        ("method=dora", "write `kind: dora` on a line of its own below, indented"),
        ("data=a.jsonl", "write `train: {path: a.jsonl}` on a line of its own below, indented"),
        ("training=dpo", "write `objective: dpo` on a line of its own below, indented"),
        ("logging=wandb", "write `to: [wandb]` on a line of its own below, indented"),
        ("output=out", "its keys stand on lines of their own below, indented: dir, merge"),
    ],
)
def test_hints_for_values(option: str, hint: str) -> None:
    [found] = said(MINIMAL, option)
    assert (found.code, found.hint) == ("FTC103", hint)


def test_nothing_may_be_reserved() -> None:
    assert said(MINIMAL, "hardware.reserve=0") == []


def test_options_reach_into_lists() -> None:
    text = MINIMAL.replace("{path: data/train.jsonl}", "[{path: a.jsonl}, {path: b.jsonl}]")
    recipe = checked(text, "data.train[1].path=c.jsonl", "~data.train[0]").recipe
    assert recipe
    assert isinstance(recipe.data.train, tuple)
    assert [source.path for source in recipe.data.train] == ["c.jsonl"]


def test_the_later_option_wins_and_the_file_is_no_longer_blamed() -> None:
    assert said(MINIMAL + "training: {epochs: x}\n", "training.epochs=y", "training.epochs=2") == []


@pytest.mark.parametrize(
    ("option", "code", "columns", "hint"),
    [
        ("training.epochs=x", "FTC103", (17, 18), None),
        ("training.epoch=3", "FTC102", (1, 15), 'did you mean "epochs"?'),
        ("trainig.epochs=3", "FTC102", (1, 15), 'did you mean "training"?'),
        ("method={kind: lora, rnak: 3}", "FTC102", (8, 29), 'did you mean "rank"?'),
        ("~data.validaton", "FTC010", (2, 16), 'did you mean "data.validation"?'),
        ("data.train[0].path=x", "FTC010", (1, 19), "if there is only one, write data.train.path"),
        ("data.system=a: b", "FTC010", (13, 17), "put it in quotes"),
        ("name=[", "FTC010", (6, 7), "put it in quotes"),
        ("name", "FTC010", (1, 5), "write --set training.epochs=3, or --set ~data.validation to remove"),
        ("~name=x", "FTC010", (1, 8), "write --set training.epochs=3, or --set ~data.validation to remove"),
        ("a b=3", "FTC010", (1, 6), "write --set training.epochs=3, or --set ~data.validation to remove"),
        ("", "FTC010", (1, 1), "write --set training.epochs=3, or --set ~data.validation to remove"),
    ],
)
def test_findings_about_options_stand_in_the_option(
    option: str, code: str, columns: tuple[int, int], hint: str | None
) -> None:
    [found] = said(MINIMAL, "training.seed=1", option)
    assert (found.file, found.code, found.hint) == ("--set", code, hint)
    assert (found.span.line, found.span.column, found.span.end_column) == (2, *columns)


@given(st.lists(st.text(alphabet="datrin.~=[]01{}: x", max_size=20), max_size=3))
def test_any_option_is_applied_or_refused(options: list[str]) -> None:
    said(MINIMAL, *options)


# Any mutation ends in findings, never in a traceback, and leaves a recipe to go on with.

FULL = yaml.safe_load((ROOT / "recipes" / "llama3.1-8b-full-8xa100.ftc.yaml").read_text(encoding="utf-8"))
KEYS = [
    "kind",
    "rank",
    "path",
    "base",
    "training",
    "epochs",
    "data",
    "train",
    "qlora",
    "x",
    "every",
    "fields",
    "Source",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 99)
    | st.floats()
    | st.sampled_from([*KEYS, "auto", "1e-4", "", "a.jsonl"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


def mutated(data: Any, draw: random.Random, value: object) -> Any:
    """The data with one value somewhere replaced, added or removed."""
    if isinstance(data, dict) and data and draw.random() < 0.8:
        key = draw.choice([*data, draw.choice(KEYS)])
        if key in data and draw.random() < 0.15:
            return {name: inner for name, inner in data.items() if name != key}
        return {**data, key: mutated(data[key], draw, value) if key in data else value}
    if isinstance(data, list) and data and draw.random() < 0.7:
        index = draw.randrange(len(data))
        return [*data[:index], mutated(data[index], draw, value), *data[index + 1 :]]
    return value


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), st.lists(VALUES, min_size=1, max_size=4))
def test_any_mutation_is_reported_and_repaired(draw: random.Random, values: list[object]) -> None:
    data = FULL
    for value in values:
        data = mutated(data, draw, value)
    source = Source("r", "", data if isinstance(data, dict) else {}, {})
    found = check(source)
    assert found.recipe is not None
    assert len({(item.code, item.path) for item in found.findings}) == len(found.findings)
    assert all(locate(item, source).span for item in found.findings)


def test_a_text_with_thousands_of_mistakes_is_given_up() -> None:
    text = MINIMAL.replace("{path: data/train.jsonl}", f"[{'{}, ' * 5000}]")
    found = checked(text)
    assert found.recipe is None
    assert len(found.findings) == MOST
