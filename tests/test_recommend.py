"""`ftc recommend`: what fits comes first and does fit, what does not says where it would, bases by facts alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from calls import ROOT, ftc

from compiler.build import Options, compile_recipe
from compiler.commands.recommend import USES as NAMED
from compiler.hardware import find_gpu
from compiler.memory import weigh
from compiler.model_catalog import names
from compiler.models import find_model
from compiler.recommending.guidance import guidance, rates
from compiler.recommending.methods import Candidate, Recommendation, recommend
from compiler.recommending.ranks import LADDER, RANKED
from compiler.recommending.wish import Wish, compiled, fits, lean
from compiler.report.paint import Paint
from compiler.report.recommend_text import need_words, recommendation_text
from compiler.starting.answers import card, main_memory
from schemas.facts import Gpu, ModelFacts
from schemas.recipe import Objective

CARDS = ("t4", "rtx-3060-ti", "rtx-4090", "a100-40gb", "h100", "mi300x", "cpu")


def facts(model: str) -> ModelFacts:
    found = find_model(model, Path(), online=False)
    assert isinstance(found, ModelFacts)
    return found


def wish(model: str, gpu: str, count: int = 1, objective: Objective = "sft", **more: Any) -> Wish:
    known, on = facts(model), card(gpu)
    length = more.pop("max_length", 2048)
    return Wish(
        known.hub_id or model, known, on, main_memory(on), count, objective, min(length, known.context), Path(), **more
    )


def recommended(model: str, gpu: str, count: int = 1, **more: Any) -> Recommendation:
    return recommend(wish(model, gpu, count, **more))


def kinds(found: Recommendation) -> list[str]:
    return [item.kind for item in found.choices]


def test_16_bit_adapters_come_first_and_4_bit_ones_where_those_do_not_fit() -> None:
    assert kinds(recommended("llama-3.1-8b", "rtx-4090"))[:4] == ["lora", "dora", "qlora", "qdora"]
    assert kinds(recommended("llama-3.1-8b", "a100-80gb"))[:5] == ["lora", "dora", "full", "qlora", "qdora"]
    assert kinds(recommended("llama-3.1-8b", "t4")) == ["qlora", "qdora"]


def test_full_training_comes_first_where_the_rows_hold_more_than_adapters_can() -> None:
    few, many = (recommended("llama-3.1-8b", "a100-80gb", tokens=tokens) for tokens in (10**6, 10**11))
    assert kinds(few)[0] == "lora" and not few.many
    assert kinds(many)[0] == "full" and many.many
    assert kinds(recommended("llama-3.1-8b", "a100-80gb", objective="pretrain"))[0] == "full"


def test_the_rank_grows_with_the_rows_until_the_largest_that_is_sensible() -> None:
    chosen: list[int] = []
    for tokens in (10**5, 10**8, 5 * 10**8, 10**12):
        [lora] = (item for item in recommended("llama-3.1-8b", "h100", tokens=tokens).choices if item.kind == "lora")
        assert lora.ranks
        chosen.append(lora.ranks.chosen)
        assert lora.ranks.holds >= tokens or lora.ranks.chosen == guidance().rank.most
    assert chosen == sorted(chosen)
    assert chosen[0] == guidance().rank.start and chosen[-1] == guidance().rank.most


@pytest.mark.parametrize("kind", RANKED)
def test_ranks_are_monotone_and_the_largest_is_the_last_that_fits(kind: str) -> None:
    asked = wish("mistral-7b-v0.3", {"lora": "l4", "dora": "l4", "qlora": "rtx-3060-ti", "qdora": "rtx-3080"}[kind])
    [item] = (each for each in _all(recommend(asked)) if each.kind == kind)
    assert item.ranks and item.ranks.largest > 0
    fitting = [
        fits(compiled(asked, {"method.kind": kind, "method.rank": rank, **lean(asked, kind)})) for rank in LADDER
    ]
    assert fitting == sorted(fitting, reverse=True)
    assert LADDER[sum(fitting) - 1] == item.ranks.largest
    assert item.ranks.chosen <= item.ranks.largest


def _all(found: Recommendation) -> tuple[Candidate, ...]:
    return (*found.choices, *found.others)


@pytest.mark.parametrize("shift", range(len(CARDS)))
def test_choices_of_every_base_are_right_and_fit_and_the_others_do_not(shift: int) -> None:
    """Every second base, on a spread of cards."""
    some = 0
    for number, base in enumerate(names()[shift :: 2 * len(CARDS)]):
        gpu = CARDS[(number + shift) % len(CARDS)]
        found = recommended(base, gpu, 1 + number % 3 if gpu != "cpu" else 1)
        assert {item.kind for item in _all(found)} == set(guidance().methods)
        for item in found.choices:
            assert item.compiled.valid and item.footprint and item.footprint.verdict in ("fits", "unknown")
        for item in found.others:
            assert item.errors or (item.footprint and item.footprint.verdict in ("tight", "does_not_fit"))
        some += bool(found.choices)
    assert some


def test_what_does_not_fit_says_where_it_would_and_there_it_does() -> None:
    for model, gpu in (("llama-3.1-70b", "a100-40gb"), ("llama-3.1-8b", "t4"), ("qwen3-30b-a3b", "rtx-4090")):
        missed = [item for item in recommended(model, gpu).others if item.elsewhere]
        assert missed
        for item in missed:
            for place in item.elsewhere:
                known, on = facts(model), find_gpu(place.gpu)
                assert isinstance(on, Gpu)
                there = Wish(known.hub_id or model, known, on, None, place.count, "sft", 2048, Path())
                assert fits(compiled(there, {**item.set, "hardware.strategy": place.strategy})), (item.kind, place.gpu)


def test_lora_costs_no_more_than_dora_of_equal_rank_and_shape() -> None:
    """Why it stands first of two that nothing independent tells apart."""
    asked = wish("llama-3.1-8b", "h100")
    lora, dora = (compiled(asked, {"method.kind": kind, **lean(asked, kind)}) for kind in ("lora", "dora"))
    assert lora.plan and dora.plan
    assert weigh(lora.plan, "native").device < weigh(dora.plan, "native").device


def test_a_mixture_of_experts_and_a_quantised_base_say_what_they_refuse() -> None:
    mixture = recommended("qwen3-30b-a3b", "h100")
    assert "lora" in kinds(mixture)
    assert {item.kind for item in mixture.others if item.errors} == {"qlora", "qdora"}
    shipped = recommended("gpt-oss-20b", "h100")
    assert kinds(shipped)[:2] == ["lora", "dora"]
    quantised = recommended("unsloth/llama-3-8b-bnb-4bit", "t4")
    assert kinds(quantised)[0] == "qlora"
    assert all(item.errors for item in quantised.others if item.kind in ("lora", "full"))


def test_a_target_refuses_what_it_cannot_do() -> None:
    found = recommended("llama-3.1-8b", "h100", target="unsloth")
    assert "lora" in kinds(found)
    assert {item.kind for item in found.others if item.errors} >= {"ia3", "prompt_tuning"}


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "llama-3.1-8b-instruct"])
def test_every_target_has_something_to_recommend(model: str, target: str) -> None:
    """Rows that are not there yet are none that a target refuses."""
    assert {"lora", "qlora", "full"} <= set(kinds(recommended(model, "b200", target=target)))
    assert "lora" in kinds(recommended(model, "b200", target=target, objective="dpo"))


@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto"])
def test_preferences_need_more_and_are_weighed_as_such(objective: Objective) -> None:
    plain, asked = (recommended("llama-3.1-8b", "a100-40gb", objective=each) for each in ("sft", objective))
    assert kinds(asked)
    for item in asked.choices:
        assert item.plan and item.plan.training.objective == objective
    assert len(kinds(asked)) <= len(kinds(plain))


def test_learning_rates_of_others_are_for_this_size_and_method() -> None:
    known = {rate.source: rate.value for rate in rates(facts("llama-3.1-8b"), "lora", "sft")}
    assert known["tinker-sweep"] == 3e-4 and known["tinker"] == pytest.approx(2.86e-4, rel=0.01)
    large = {rate.source: rate.value for rate in rates(facts("llama-3.1-70b"), "full", "sft")}
    assert large["tulu3"] == 2e-6
    assert not rates(facts("llama-3.1-8b"), "ia3", "sft")


def test_every_figure_of_the_guidance_has_a_source() -> None:
    known = guidance()
    named = {source for guide in known.methods.values() for source in guide.sources}
    named |= {source for rule in known.rules for source in rule.sources} | set(known.rank.sources)
    named |= {item.source for item in (*known.learning_rates, *known.epochs, known.formula)}
    assert named <= set(known.sources)
    assert set(known.sources) - named <= {"dora"}, "and each source is used"
    assert all(guide.sources for guide in known.methods.values())
    assert all(rule.sources and rule.ours for rule in known.rules)


def test_the_text_says_no_more_of_the_rows_than_is_known() -> None:
    paint = Paint(on=False)
    pretrain = recommended("llama-3.1-8b", "a100-80gb", objective="pretrain", tokens=10**5)
    assert "full training first where it fits: rows to pretrain on" in recommendation_text(pretrain, paint)
    counted = recommended("llama-3.1-8b", "a100-80gb", tokens=10**11)
    assert "full training first where it fits: the rows hold more" in recommendation_text(counted, paint)


def test_a_smaller_card_on_which_it_fits_all_the_same_says_what_it_needs_there() -> None:
    """A CPU computes in 32 bit, the card in 16."""
    on = msgspec.structs.replace(card("cpu"), memory=8 << 30)
    found = recommend(msgspec.structs.replace(wish("llama-3.1-8b", "t4"), gpu=on, memory="8GiB"))
    [full] = (item for item in found.others if item.kind == "full")
    [place] = full.elsewhere
    assert full.footprint and place.footprint.capacity and place.footprint.capacity < full.footprint.high
    assert f"{place.gpu}, where it needs up to {place.footprint.high / 2**30:.1f} GiB" in need_words(full)


# --- the command


def recommend_json(*arguments: object, code: int = 0) -> Any:
    done = ftc("recommend", *arguments, "--format", "json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_the_text_says_memory_speed_ranks_and_why() -> None:
    said = ftc("recommend", "--model", "llama-3.1-8b-instruct", "--gpu", "rtx-4090")
    assert said.returncode == 0
    assert re.search(r"^1 lora, rank 16  fits: about \d+\.\d GiB, up to \d+\.\d of 23\.5 GiB; ", said.stdout, re.M)
    assert re.search(r"; about [\d,]+ tokens/s \(model\)$", said.stdout, re.M)
    assert re.search(r"^    \[w+\w*\.*\]$", said.stdout, re.M)
    assert "rank: 8 to 64 is usual, up to " in said.stdout
    assert "arXiv:2405.09673" in said.stdout
    assert re.search(r"^  full needs up to \d+\.\d GiB: fits a100-80gb or 8 x rtx-4090 \(fsdp\)$", said.stdout, re.M)
    assert (
        "ftc init --from-recommendation --model meta-llama/Llama-3.1-8B-Instruct --gpu rtx-4090 --data" in said.stdout
    )
    assert max(map(len, said.stdout.splitlines())) < 200


def test_the_json_is_versioned_and_has_what_init_needs() -> None:
    said = recommend_json("--model", "llama-3.1-8b", "--gpu", "a100-40gb", "--count", 3)
    assert (said["format_version"], said["recommends"], said["count"]) == (1, "methods", 3)
    assert said["global_batch_size"] == 18
    first = said["choices"][0]
    assert first["choice"] == 1 and first["set"] == {"method.kind": "lora", "method.rank": 16}
    assert first["memory"]["verdict"] == "fits" and first["time"]["tokens_per_second"] > 0
    assert first["rank"]["usual"] == [8, 64] and first["rank"]["largest"] >= 64
    assert set(first["quality"]["sources"]) <= set(said["sources"])
    assert [item["choice"] for item in said["choices"]] == list(range(1, len(said["choices"]) + 1))
    made = compile_recipe("r", json.dumps(_recipe(said, first)), ROOT, Options(online=False))
    assert made.valid and made.footprint
    assert made.footprint.high / 2**30 == pytest.approx(first["memory"]["high_gib"], abs=1e-3)


def _recipe(said: Any, choice: Any) -> dict[str, Any]:
    """What the JSON amounts to, by hand."""
    return {
        "version": 1,
        "name": "r",
        "model": {"base": said["model"]["base"]},
        "method": {path.removeprefix("method."): value for path, value in choice["set"].items()},
        "data": {"train": {"path": "a/b", "format": "prompt_completion"}, "max_length": said["max_length"]},
        "training": {"objective": said["objective"], "global_batch_size": said["global_batch_size"]},
        "hardware": {"gpu": said["gpu"], "count": said["count"]},
    }


def test_where_nothing_fits_the_exit_code_is_3_and_each_says_what_it_needs() -> None:
    said = recommend_json("--model", "llama-3.1-70b", "--gpu", "a100-40gb", code=3)
    assert said["choices"] == []
    places = {item["method"]: [(place["gpu"], place["count"]) for place in item["fits_on"]] for item in said["others"]}
    [(name, count)] = places["qlora"]
    found = find_gpu(name)
    assert count == 1 and isinstance(found, Gpu) and 40 << 30 < found.memory < 81 << 30
    assert ("a100-40gb", 8) in places["lora"]


def test_bases_as_text_and_json() -> None:
    text = ftc("recommend", "--gpu", "rtx-4090").stdout
    assert [text.index(f"--use {name}") for name in NAMED] == sorted(text.index(f"--use {name}") for name in NAMED)
    assert "Google's own terms" in text
    said = recommend_json("--gpu", "t4", "--use", "multilingual")
    [use] = said["uses"]
    assert said["recommends"] == "bases" and use["use"] == "multilingual"
    for base in use["bases"]:
        assert base["languages"] >= 8 and base["sources"]["languages"] and base["method"] in base["methods"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--model", "lama-3.1-8b", "--gpu", "t4"), 4, 'did you mean "llama-3.1-8b"?'),
        (("--model", "llama-3.1-8b", "--gpu", "rtx-4900"), 2, 'did you mean "rtx-4090"?'),
        (("--gpu", "a100"), 2, "a100-40gb or a100-80gb"),
        (("--gpu", "t4", "--objective", "dpo"), 2, "--objective is of methods"),
        (("--gpu", "t4", "--max-length", "512"), 2, "--max-length is of methods"),
        (("--gpu", "t4", "--use", "phone"), 2, "'edge'"),
        (("--model", "llama-3.1-8b", "--gpu", "t4", "--use", "edge"), 2, "--use and --commercial"),
        (("--model", "llama-3.1-8b", "--gpu", "t4", "--count", "0"), 2, "--count"),
        (("--model", "llama-3.1-8b", "--gpu", "t4", "--target", "unslot"), 2, "is not one of"),
        (("--model", "llama-3.1-8b", "--gpu", "h100", "--max-length", "200000"), 1, "FTC236"),
    ],
)
def test_wrong_usage_says_what_was_probably_meant(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = ftc("recommend", *arguments)
    assert done.returncode == code
    assert said in re.sub(r"\s+", " ", done.stdout + done.stderr)


def test_it_imports_nothing_slow() -> None:
    done = ftc("recommend", "--model", "llama-3.1-8b", "--gpu", "t4", python=("-X", "importtime"))
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "datasets", "jinja2", "rich"}
