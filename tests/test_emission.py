"""What the tool targets write alike: YAML that any reader reads back, headers, rows parted for validation."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tool_plans import plan, source

from backends import load
from backends.alike import differs, lost, rows
from backends.base import apply, spelled
from backends.cadence import Cadence, cadence, scheduler, unsayable, warmup_steps
from backends.emission import fingerprint, out_folder
from backends.yaml_text import yaml_document
from schemas.artifact import Target
from schemas.recipe import Fields
from schemas.support import NotImpl

TOOLS: tuple[Target, ...] = ("axolotl", "llamafactory", "unsloth")


class Yaml12(yaml.SafeLoader):
    """Reads numbers as YAML 1.2 and OmegaConf do: `1e-4` is one."""


Yaml12.yaml_implicit_resolvers = {
    key: [(tag, found) for tag, found in resolvers if not tag.endswith(("float", "int", "bool"))]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$", re.IGNORECASE), list("tTfF"))
Yaml12.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?([0-9]+|0o[0-7]+)$"), list("-+0123456789"))
Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.nan)$"),
    list("-+0123456789."),
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(
        ["no", "on", "Yes", "~", "null", "012", "1e-4", "1_000", "12:30", "0x1f", ".5", "-", "a: b", "# x", "\x85"]
    ),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS), st.dictionaries(st.sampled_from("abc"), SCALARS))


@pytest.mark.parametrize("loader", [yaml.SafeLoader, Yaml12])
@given(value=VALUES)
def test_readers_of_both_versions_see_the_same(loader: Any, value: object) -> None:
    text = yaml_document("# head\n", (("What it is", ("key",)),), {"key": value})
    read = yaml.load(text, loader)["key"]  # noqa: S506 - both loaders are safe ones
    assert repr(read) == repr(value)


def test_small_numbers_are_written_for_old_readers() -> None:
    text = yaml_document("", (("Rates", ("rate", "epsilon")),), {"rate": 2e-5, "epsilon": 1e-8})
    assert "rate: 2.0e-05\nepsilon: 1.0e-08\n" in text


def test_a_key_without_a_chapter_is_an_error() -> None:
    with pytest.raises(ValueError, match="no chapter for lost"):
        yaml_document("", (("Known", ("known",)),), {"known": 1, "lost": 2})


@pytest.mark.parametrize("target", TOOLS)
def test_header_says_what_is_lost(target: Target) -> None:
    backend, wanted = load(target), plan(training__loss="full")
    clean = backend.emit(wanted, None, ())
    lossy = backend.emit(wanted, None, (lost("data.system", "it has none"),))
    near = backend.emit(wanted, None, (differs("data.overlong", "shortened"),))
    assert "NOT EQUIVALENT" not in clean.files[clean.body]
    assert "NOT EQUIVALENT" in lossy.files[lossy.body]
    assert "data.system cannot be kept beside the rest: it has none" in lossy.files[lossy.body]
    assert "NOT EQUIVALENT" not in near.files[near.body]
    assert "data.overlong: shortened" in near.files[near.body]
    assert "it has none" in lossy.files["README.md"]
    assert "NOT EQUIVALENT" in lossy.files["README.md"]
    both = backend.emit(wanted, None, (differs("data.overlong", "shortened"), lost("data.system", "it has \a none")))
    dropped, _, kept = both.files[both.body].partition("does differently:")
    assert "it has \\x07 none" in dropped
    assert "data.overlong: shortened" in kept
    assert "shortened" not in dropped


@pytest.mark.parametrize("target", TOOLS)
def test_artifact_names_its_command_and_pins_its_tool(target: Target) -> None:
    backend = load(target)
    artifact = backend.emit(plan(), None, ())
    assert backend.VERSION in artifact.files["requirements.txt"].splitlines()
    head, *pins = artifact.files["requirements.txt"].splitlines()
    assert head.startswith("# Resolved together by pip")
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in pins)
    assert " ".join(artifact.command) in artifact.files["README.md"]
    assert artifact.body in artifact.files


@pytest.mark.parametrize("target", TOOLS)
def test_a_tracker_is_required_where_it_is_used(target: Target) -> None:
    artifact = load(target).emit(plan(logging__to=("mlflow",)), None, ())
    assert "mlflow" in artifact.files["requirements.txt"]
    assert "mlflow" not in load(target).emit(plan(), None, ()).files["requirements.txt"]


def test_kernels_are_required_where_the_tool_does_not_bring_them() -> None:
    wanted = plan(training__kernels="liger")
    assert "liger-kernel==" in load("llamafactory").emit(wanted, None, ()).files["requirements.txt"]
    assert "liger" not in load("axolotl").emit(wanted, None, ()).files["requirements.txt"]


def test_torchao_is_one_that_the_tools_own_peft_can_read() -> None:
    """With 0.18, the native target's, LLaMA-Factory's peft stops at the first adapter."""
    wanted = plan(training__optimizer="adamw_4bit")
    assert "torchao==0.17.0" in load("llamafactory").emit(wanted, None, ()).files["requirements.txt"]


def test_a_share_of_the_rows_is_parted_by_ftc() -> None:
    wanted = plan(data__train=(source(limit=10), source("/data/more.jsonl")), data__validation=0.1)
    made = rows(wanted).preparation
    assert made
    assert made.train == wanted.data.train
    assert (made.validation, made.seed, made.files) == (0.1, 42, ("data/train.jsonl", "data/validation.jsonl"))
    assert rows(plan()).preparation is None


@pytest.mark.parametrize("target", ["axolotl", "llamafactory"])
def test_a_share_of_rows_on_the_hub_is_fetched_by_the_run(target: Target) -> None:
    hub = source("org/chats", local=False)
    artifact = load(target).emit(plan(data__train=(hub,), data__validation=0.1), None, ())
    assert artifact.preparation is None
    assert json.loads(artifact.files["prepare.json"])["train"][0]["path"] == "org/chats"
    assert "\npython prepare.py\n" in artifact.files["run.sh"]
    assert not [name for name, text in artifact.files.items() if "from backends" in text or "import backends" in text]


@pytest.mark.parametrize("target", ["axolotl", "llamafactory"])
def test_what_cannot_be_parted_is_refused_at_its_line(target: Target) -> None:
    other = source("/data/more.jsonl", fields=Fields(messages="turns"))
    text = source("/data/text.jsonl", format="text")
    found = load(target).losses(plan(data__train=(source(), other, text), data__validation=0.1))
    assert ("FTC404", "data.train[2].format") in {(item.code, item.path) for item in found}
    assert "data.train[1].format" not in {item.path for item in found}


# --- where results go


@pytest.mark.parametrize("target", TOOLS)
def test_results_go_to_a_folder_of_the_tool_and_the_plan(target: Target) -> None:
    wanted, backend = plan(), load(target)
    folder = out_folder(target, wanted)
    assert re.fullmatch(rf"/runs/support/{target}-[0-9a-f]{{8}}", folder)
    files = backend.emit(wanted, None, ()).files
    assert folder in files[backend.emit(wanted, None, ()).body]
    assert f"`{folder}`" in files["README.md"]
    assert "/runs/support" not in "".join(files.values()).replace(folder, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"training__learning_rate": 1e-4},
        {"model__revision": "abc"},
        {"method__rank": 8},
        {"data__max_length": 1024},
        {"data__train": (source("/data/other.jsonl"),)},
        {"hardware__count": 2},
    ],
)
def test_another_plan_has_another_folder(changes: dict[str, Any]) -> None:
    assert out_folder("axolotl", plan(**changes)) != out_folder("axolotl", plan())


@pytest.mark.parametrize("changes", [{"logging__every": 5}, {"checkpoint__keep": 9}, {"hardware__gpu": "a100-80gb"}])
def test_what_is_learned_alike_goes_on_in_the_same_folder(changes: dict[str, Any]) -> None:
    assert out_folder("axolotl", plan(**changes)) == out_folder("axolotl", plan())


def test_the_same_plan_in_another_checkout_has_the_same_checksum() -> None:
    moved = plan(
        output__dir="/home/me/runs/support",
        data__train=(source("/home/me/data/train.jsonl"),),
        data__validation=(source("/home/me/data/validation.jsonl"),),
    )
    assert fingerprint(moved) == fingerprint(plan())


# --- how refusals are worded


def test_a_refused_strategy_is_said_once() -> None:
    wanted = plan(hardware__strategy="zero3", hardware__offload="optimizer")
    found = [item.path for item in apply(load("unsloth").TABLE, wanted).findings]
    assert sorted(found) == ["hardware.offload", "hardware.strategy"]


def test_values_are_spelled_as_in_a_recipe() -> None:
    wanted = plan(model__tokens__add=("<x>", "<y>"))
    without = {**load("native").TABLE, "model.tokens.add": NotImpl("it adds none", ((),))}
    messages = {item.path: item.message for item in apply(without, wanted).findings}
    assert messages["model.tokens.add"].startswith("add cannot be [<x>, <y>]: ")


def test_sections_are_spelled_on_one_line() -> None:
    assert spelled({"a": (1, None), "b": {"c": False}}) == "{a: [1, null], b: {c: false}}"


# --- when things happen


def test_a_share_of_an_epoch_is_told_as_one_of_the_run() -> None:
    assert cadence(0.25, plan(training__epochs=2)) == Cadence("steps", 0.125)
    assert cadence(50, plan()) == Cadence("steps", 50)
    assert cadence("epoch", plan()) == Cadence("epoch")
    assert cadence(None, plan()) == Cadence("no")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"evaluation__every": 0.5, "training__epochs": None, "training__max_steps": 10}, "evaluation.every"),
        ({"checkpoint__every": 0.5, "training__epochs": 0.5}, "checkpoint.every"),
        ({"checkpoint__best": True, "evaluation__every": 20, "checkpoint__every": 30}, "checkpoint.best"),
        ({"checkpoint__best": True, "evaluation__every": None}, "checkpoint.best"),
    ],
)
def test_cadences_that_no_trainer_keeps_are_refused(changes: dict[str, Any], path: str) -> None:
    assert [(item.code, item.path) for item in unsayable(plan(**changes))] == [("FTC404", path)]


def test_checkpoints_at_every_second_evaluation_can_be_compared() -> None:
    assert not unsayable(plan(checkpoint__best=True, evaluation__every=20, checkpoint__every=40))


def test_schedulers_end_where_the_recipe_says() -> None:
    assert scheduler(plan()) == ("cosine", None)
    assert scheduler(plan(training__min_lr_ratio=0.1)) == ("cosine_with_min_lr", {"min_lr_rate": 0.1})
    polynomial = plan(training__scheduler="polynomial", training__learning_rate=1e-3, training__min_lr_ratio=0.5)
    assert scheduler(polynomial) == ("polynomial", {"lr_end": 5e-4, "power": 1.0})


def test_warm_up_is_a_share_until_the_steps_are_known() -> None:
    assert warmup_steps(plan(training__warmup=0.1)) == 0.1
    assert warmup_steps(plan(training__warmup=0.1, training__max_steps=25, training__epochs=None)) == 3
    assert warmup_steps(plan(training__warmup=0.0)) == 0
