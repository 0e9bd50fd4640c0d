"""Tokens of a run, counted or estimated from its rows, and what hours and cost follow from them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from calls import ftc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import a_plan

from backends.native.examine import workers
from compiler.build import Options, compile_recipe
from compiler.data.job import job
from compiler.data.survey import Asked, survey
from compiler.data.tokenizer import find_tokenizer
from compiler.data.verdict import Epoch, verdict
from compiler.duration.amount import amount
from compiler.duration.characters import lengths, tokens
from compiler.duration.epoch import Counted, count
from compiler.duration.estimate import estimate
from compiler.duration.ranges import Range
from compiler.duration.sampling import WHOLE, sample
from compiler.memory import weigh
from schemas.plan import Plan, SourcePlan

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "recipes" / "quickstart"
WORDS = (QUICKSTART / "corpus.txt").read_text("utf-8").splitlines()[:4000]
HEAD = f"version: 1\nname: small\nmodel: {{base: {QUICKSTART / 'base'}}}\nmethod: {{kind: lora}}\n"


def planned(recipe: Path, *sets: str) -> Plan:
    found = compile_recipe(recipe.name, recipe.read_text(), recipe.parent, Options(sets=sets))
    assert found.plan, found.diagnostics
    return found.plan


def rows(number: int, longest: int = 12, seed: int = 1) -> list[dict[str, Any]]:
    """Conversations whose lengths differ by much, as real ones do."""
    drawn = random.Random(seed)  # noqa: S311 - no secret
    return [
        {
            "messages": [
                {"role": "user", "content": " ".join(drawn.choices(WORDS, k=2))},
                {"role": "assistant", "content": " ".join(drawn.choices(WORDS, k=drawn.randint(1, longest)))},
            ]
        }
        for _ in range(number)
    ]


def recipe(folder: Path, said: Sequence[dict[str, Any]], name: str = "a.jsonl", **data: object) -> Path:
    lines = "".join(f"{json.dumps(row)}\n" for row in said)
    if name.endswith(".gz"):
        with gzip.open(folder / name, "wt") as stream:
            stream.write(lines)
    else:
        (folder / name).write_text(json.dumps(said) if name.endswith(".json") else lines)
    file = folder / "small.ftc.yaml"
    told = {"train": {"path": name}, "max_length": 256, "validation": None, **data}
    file.write_text(f"{HEAD}hardware: {{gpu: t4}}\ndata: {json.dumps(told)}\n")
    return file


def exact(plan: Plan) -> Epoch:
    """What `ftc data` counts, every row rendered and masked by transformers."""
    tokenizer = find_tokenizer(plan)
    told = job(plan)
    found = survey(Asked(told, tokenizer.tokenizer, tokenizer.stops, 0, workers(told)), lambda _: None)
    epoch = verdict(found, plan, tokenized=True).epoch
    assert epoch
    return epoch


def counted(plan: Plan) -> Counted:
    found = count(plan)
    assert isinstance(found, Counted), found
    return found


def without_tokenizer(plan: Plan) -> Plan:
    """The same rows, of a base whose files are not here."""
    return replace(plan, model=replace(plan.model, base="nobody/nothing"))


def holds(found: Range, truth: float) -> bool:
    return found.low <= truth <= found.high


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"validation": 0.2},
        {"validation": 7},
        {"overlong": "truncate", "max_length": 128},
        {"overlong": "drop", "max_length": 128},
        {"train": [{"path": "a.jsonl", "weight": 2.5}, {"path": "a.jsonl", "limit": 30}]},
        {"train": {"path": "a.jsonl", "limit": 0.5}, "packing": False},
        {"train": {"path": "a.jsonl", "limit": 11}},
    ],
    ids=str,
)
def test_small_data_is_counted_as_ftc_data_counts_it(tmp_path: Path, data: dict[str, object]) -> None:
    plan = planned(recipe(tmp_path, rows(200), **data))
    found, truth = counted(plan), exact(plan)
    assert found.whole
    assert found.cut
    assert found.tokens.middle == pytest.approx(truth.tokens, rel=0.01)
    assert holds(found.tokens, truth.tokens)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz"])
def test_of_large_data_a_sample_says_the_same(tmp_path: Path, name: str) -> None:
    plan = planned(recipe(tmp_path, rows(6000), name))
    found, truth = counted(plan), exact(plan)
    assert found.cut
    assert found.seen < 3000
    assert found.rows == pytest.approx(6000, rel=0.02)
    assert holds(found.tokens, truth.tokens), (found.tokens, truth.tokens)
    assert found.tokens.high / found.tokens.low < 1.4


def test_rows_of_the_quickstart(tmp_path: Path) -> None:
    """Real ones: lines of dates and numbers, of which a character says little."""
    plan = planned(QUICKSTART / "quickstart.ftc.yaml")
    truth = exact(plan).tokens
    assert holds(counted(plan).tokens, truth)
    assert counted(plan).tokens.middle == pytest.approx(truth, rel=0.01)
    assert str(tmp_path) not in amount(plan, "native").words


def test_without_a_tokenizer_characters_tell(tmp_path: Path) -> None:
    """Against a real tokenizer, of 2048 entries; the interval is one of larger ones, and so the count is too low."""
    plan = without_tokenizer(planned(recipe(tmp_path, rows(200))))
    found = counted(plan)
    assert not found.cut
    assert found.tokens.high > 1.3 * found.tokens.middle > 1.3 * found.tokens.low > 0
    assert "by their characters, as its tokenizer is not here" in amount(plan, "native").words


TRUTHS = {
    "quickstart/corpus.txt": (26_418, 23_449, 22_753),
    "quickstart/data/validation.jsonl": (5_537, 5_446, 5_446),
    "quickstart-real/data/validation.jsonl": (2_477, 2_176, 2_134),
    "data/support.jsonl": (301, 272, 269),
}
"""Tokens of the first 100,000 characters, or of what is said in all rows, a turn a line: counted with mistral-common
1.8 (tokenizer.model.v1, tekken_240911.json) and with qwen.tiktoken of dashscope 2.0.2."""


@pytest.mark.parametrize(("at", "vocab"), [(0, 32_000), (1, 131_072), (2, 151_936)])
@pytest.mark.parametrize("name", TRUTHS)
def test_characters_against_real_tokenizers(name: str, at: int, vocab: int) -> None:
    text = (ROOT / "recipes" / name).read_text("utf-8")
    if name.endswith(".jsonl"):
        text = "\n".join(turn["content"] for line in text.splitlines() for turn in json.loads(line)["messages"])
    found, truth = tokens(text[:100_000].encode(), vocab), TRUTHS[name][at]
    assert found.low <= truth <= found.high, found
    assert found.middle == pytest.approx(truth, rel=0.15)


def test_a_sample_is_always_the_same_and_from_everywhere(tmp_path: Path) -> None:
    """Lines say where they stand, so that the sample's mean is that of all if it is drawn evenly."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"{at} " + "x" * 80}) + "\n" for at in range(60_000)))
    source = {
        "path": str(path),
        "local": True,
        "format": "text",
        "weight": 1.0,
        "limit": None,
        "fields": {"text": None},
    }
    first, second = (sample(source, None, templated=False) for _ in range(2))
    assert first == second
    assert first.scattered
    assert not first.whole
    assert path.stat().st_size > 4 * WHOLE
    at = [int(row.text.split()[0]) for group in first.groups for row in group]  # type: ignore[union-attr]
    assert sum(at) / len(at) == pytest.approx(30_000, rel=0.03)
    assert first.rows == pytest.approx(60_000, rel=0.02)
    limited = sample({**source, "limit": 20_000}, None, templated=False)
    assert limited.rows == 20_000
    assert max(int(row.text.split()[0]) for group in limited.groups for row in group) < 20_000  # type: ignore[union-attr]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), number=st.integers(1500, 4000), longest=st.integers(2, 40))
def test_samples_hold_the_truth(tmp_path: Path, seed: int, number: int, longest: int) -> None:
    """Characters of all rows are the truth here: one way of counting, once of a sample and once of everything."""
    said = rows(number, longest, seed)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in said))
    plan = without_tokenizer(planned(recipe(tmp_path, rows(3))))
    plan = replace(
        plan, data=replace(plan.data, max_length=10**6, train=(replace(plan.data.train[0], path=str(path)),))
    )
    found = counted(plan)
    assert found.seen <= number
    everything = [row for group in whole(plan.data.train[0]) for row in group]
    truth = sum(max(round(each.middle), 1) for item in lengths(everything, plan.facts.vocab) for each in item)
    assert holds(found.tokens, truth), (found.tokens, truth)


def whole(source: SourcePlan) -> list[list[Any]]:
    from backends.alike import told
    from backends.native.rows import read_rows

    return [list(read_rows([told(source)], None, True))]


def test_what_is_on_the_hub_is_not_counted_and_can_be_stated() -> None:
    plan = a_plan("meta-llama/Llama-3.1-8B", "qlora", loss="chunked", accumulation=16)
    plan = replace(plan, data=replace(plan.data, train=(replace(plan.data.train[0], local=False, path="some/data"),)))
    unknown = estimate(plan, weigh(plan, "native"))
    assert (unknown.hours, unknown.usd, unknown.tokens) == (None, None, None)
    assert '"some/data" is on the hub' in unknown.basis
    assert "--tokens" in unknown.basis
    stated = estimate(plan, weigh(plan, "native"), tokens=3_000_000)
    assert stated.tokens == 3_000_000
    assert stated.hours == pytest.approx(3_000_000 / stated.tokens_per_second / 3600)  # type: ignore[operator]


def test_padding_is_computed_too(tmp_path: Path) -> None:
    """One long row makes the others of its forward pass as long."""
    said = rows(64, 1)
    said[0]["messages"][1]["content"] = " ".join(WORDS[:20])
    file = recipe(tmp_path, said, packing=False, overlong="truncate")
    alone, eight = (
        amount(planned(file, f"training.micro_batch_size={micro}", "training.global_batch_size=8"), "native")
        for micro in (1, 8)
    )
    assert alone.tokens == eight.tokens
    assert alone.tokens
    assert alone.positions
    assert eight.positions
    assert alone.positions.middle == pytest.approx(alone.tokens.middle)
    assert eight.positions.middle > 1.2 * alone.positions.middle
    assert "of padding" in eight.words
    truth = exact(planned(file, "training.micro_batch_size=8", "training.global_batch_size=8"))
    assert eight.tokens.middle / eight.positions.middle == pytest.approx(truth.filled, rel=0.02)


def test_steps_of_padded_rows_have_the_length_of_rows(tmp_path: Path) -> None:
    file = recipe(tmp_path, rows(100), packing=False)
    mean = counted(planned(file)).tokens.middle / 100
    found = amount(planned(file, "training.max_steps=50", "training.global_batch_size=4"), "native").tokens
    assert found
    assert found.middle == pytest.approx(50 * 4 * mean)


def test_odd_data_costs_no_plan(tmp_path: Path) -> None:
    """What is wrong with rows is said by the checks; the time is then unknown, or that of the rows that can be had."""
    file = recipe(tmp_path, rows(20))
    (tmp_path / "a.jsonl").write_bytes(b'{"messages": [{"role": "user", "content": "a"}]}\n' * 30 + b"\xff\xfe{\n" * 30)
    found = ftc("plan", file, "--set", "data.bad_rows=drop")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "time:" in found.stdout


def test_rows_that_were_not_counted_are_called_about_so_many(tmp_path: Path) -> None:
    said = rows(4000)
    file = recipe(tmp_path, said, loss_on="all")
    assert (tmp_path / "a.jsonl").stat().st_size > WHOLE
    assert " of about " in amount(planned(file), "native").words
    assert " of 100 rows" in amount(planned(file, "data.train.limit=100"), "native").words
