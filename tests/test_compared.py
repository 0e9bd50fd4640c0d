"""Answers that are compared or judged, for real: DPO, ORPO and KTO on a CPU, by the tokens that `ftc data` shows."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from calls import RECIPE, compiled_with
from msgspec.structs import replace
from native_base import full, lora, make_plan, source, write_artifact, write_rows
from test_methods import QUICKSTART, reloaded
from test_train import metrics_of, summary_of, train_here

from backends.native import losses
from compiler.build import Options
from compiler.memory.loss import computed_loss
from compiler.memory.stacks import profile
from schemas.method_plan import AdapterPlan, Ia3Plan, PrefixPlan
from schemas.plan import Plan, PreferencePlan

OBJECTIVES = ("dpo", "orpo", "kto")


def asked(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"Say {number}."}


def said(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def pairs(count: int) -> list[dict[str, Any]]:
    """The good answer is a word, the bad one its letters."""
    words = (QUICKSTART / "corpus.txt").read_text("utf-8").split()
    return [
        {
            "prompt": [asked(number)],
            "chosen": [said(words[number * 37])],
            "rejected": [said(" ".join(words[number * 37]) + " .")],
        }
        for number in range(count)
    ]


def judged(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": row["prompt"], "completion": row[answer], "label": answer == "chosen"}
        for row in pairs(count)
        for answer in ("chosen", "rejected")
    ]


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def make(objective: str, **sections: Any) -> Plan:
        kind, rows = ("kto", judged(32)) if objective == "kto" else ("preference", pairs(64))
        train = source(write_rows(tmp_path / "rows.jsonl", rows), kind)
        training = {
            "objective": objective,
            "preference": PreferencePlan(0.1, "sigmoid"),
            "learning_rate": 1e-3,
            "max_steps": 20,
            "loss": "full" if objective == "orpo" else "chunked",
        }
        plain = {
            "data": {"max_length": 128, "validation": 16},
            "logging": {"every": 1},
            "evaluation": {"every": 10},
            "checkpoint": {"every": 10},
        }
        sections = {**plain, **sections, "training": {**training, **sections.get("training", {})}}
        return make_plan(QUICKSTART / "base", train, tmp_path / "out", **sections)

    return make


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_margin_rises(objective: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(objective)
    assert train_here(made, tmp_path / "artifact") == 0
    lines = metrics_of(made)
    margins = [line["rewards/margins"] for line in lines if "rewards/margins" in line]
    found = [line["loss"] for line in lines if "loss" in line]
    assert len(margins) == 20
    assert sum(margins[-5:]) > sum(margins[:5]) + 0.1
    assert sum(found[-5:]) < sum(found[:5])
    assert [line["step"] for line in lines if "eval_loss" in line] == [10, 20]
    assert found[0] == pytest.approx({"dpo": math.log(2), "kto": 0.5}.get(objective, found[0]), abs=1e-3)
    assert not list(Path("outputs").rglob("cache-*"))


def scores(model: Any, ids: list[int], labels: list[int]) -> float:
    """The logarithm of how likely the model finds an answer."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[:, -len(ids) :]
    of_tokens = torch.log_softmax(logits[0, :-1].float(), -1)
    return sum(of_tokens[at - 1, label].item() for at, label in enumerate(labels) if label != -100)


def held_out(folder: Path) -> Any:
    from backends.native.tokenizer import load_tokenizer
    from backends.native.train import load_data

    config = json.loads((folder / "plan.json").read_text())
    return load_data(config, load_tokenizer(config, folder)).validation


METHODS: dict[str, Any] = {
    "lora": lora(),
    "full": full(),
    "ia3": Ia3Plan("ia3", ("k_proj", "v_proj", "down_proj"), ("down_proj",)),
    "prefix": PrefixPlan("prefix_tuning", 4, None, False),
    "houlsby": AdapterPlan("adapter", 8, "relu", "houlsby"),
}


@pytest.mark.parametrize("method", METHODS)
def test_what_is_compared_are_the_answers_and_the_model_it_began_as(
    method: str, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """The margin of the rows held out, computed anew by a plain script from what was saved."""
    from transformers import AutoModelForCausalLM

    made = plan(
        "dpo", method=METHODS[method], training={"max_steps": 4, "learning_rate": 1e-4}, evaluation={"every": 4}
    )
    assert train_here(made, tmp_path / "artifact") == 0
    lines = metrics_of(made)
    assert lines[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
    told = next(line["eval_rewards/margins"] for line in lines if "eval_loss" in line)
    folder = Path(made.output.dir)
    trained = AutoModelForCausalLM.from_pretrained(folder / "model").eval() if method == "full" else reloaded(made)
    assert not (folder / "adapter" / "ref").exists()
    if method == "prefix":
        return  # it began elsewhere than at the base
    base = AutoModelForCausalLM.from_pretrained(QUICKSTART / "base").eval()
    margins = [
        0.1
        * sum(
            sign * (scores(trained, *answer) - scores(base, *answer))
            for sign, answer in (
                (1, (row["chosen_ids"], row["chosen_labels"])),
                (-1, (row["rejected_ids"], row["rejected_labels"])),
            )
        )
        for row in held_out(tmp_path / "artifact")
    ]
    assert told == pytest.approx(sum(margins) / len(margins), abs=2e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("init", ["default", "pissa", "olora"])
def test_a_base_that_is_changed_is_no_reference(objective: str, init: Any, plan: Callable[..., Plan]) -> None:
    found = [item.path for item in losses(plan(objective, method=lora(init=init)))]
    assert found == (["method.init"] if init != "default" and objective != "orpo" else [])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(objective: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(objective, training={"max_steps": 6}, checkpoint={"every": 3}, evaluation={"every": None})
    assert train_here(made, tmp_path / "artifact") == 0
    whole, out = metrics_of(made), Path(made.output.dir)
    shutil.rmtree(out / "checkpoints" / "checkpoint-6")
    shutil.rmtree(out / "adapter")
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["resumed_at"] == 3
    assert [line["loss"] for line in metrics_of(made)] == [line["loss"] for line in whole]


def test_rows_of_a_weight_stay_pairs(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan("dpo")
    heavy = tuple(replace(item, weight=2.0) for item in made.data.train)
    made = replace(made, data=replace(made.data, train=heavy, validation=None))
    folder = write_artifact(made, tmp_path / "artifact")
    from backends.native.tokenizer import load_tokenizer
    from backends.native.train import load_data

    config = json.loads((folder / "plan.json").read_text())
    tokenizer = load_tokenizer(config, folder)
    rows = load_data(config, tokenizer).train
    assert len(rows) == 128
    for number, row in enumerate(rows):
        wanted = pairs(64)[number // 2]
        for answer in ("chosen", "rejected"):
            assert wanted[answer][0]["content"] in tokenizer.decode(row[f"{answer}_ids"])


def test_strange_pairs_end_where_rows_do() -> None:
    """A long question beside a long answer would be twice as long as any row."""
    from backends.native.compared import Judged

    rows = [
        {"input_ids": [1, 2, 3, 4, 5, 6], "labels": [-100] * 5 + [6], "label": True},
        {"input_ids": [1, 7, 8, 9, 10, 11], "labels": [-100, 7, 8, 9, 10, 11], "label": False},
    ]
    made = Judged(0, 6)(rows)
    assert made["KL_input_ids"].tolist() == [[1, 2, 3, 4, 5, 7], [1, 6, 0, 0, 0, 0]]
    assert made["KL_completion_mask"].tolist() == [[0, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0]]
    assert made["input_ids"].tolist() == [row["input_ids"] for row in rows]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_logits_are_as_whole_as_trl_has_them(objective: str, plan: Callable[..., Plan]) -> None:
    """Which memory is planned by: dpo and kto never have them whole, orpo always has."""
    asked = {"objective": objective, "preference": {"beta": 0.1}}
    rows = {"train": {"path": "data/pairs.jsonl", "format": "kto" if objective == "kto" else "preference"}}
    made = compiled_with(Options("native"), training={**RECIPE["training"], **asked}, data={**rows, "packing": False})
    assert made.plan is not None
    own = made.plan.training.loss
    assert own == ("full" if objective == "orpo" else "chunked")
    assert computed_loss(made.plan, profile("native")) == own
    other = "chunked" if own == "full" else "full"
    assert [item.path for item in losses(plan(objective, training={"loss": other}))] == ["training.loss"]
    assert not losses(plan(objective))
