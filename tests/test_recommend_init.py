"""`ftc init --from-recommendation` writes the choice that was made, which validates and fits; or it writes nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import ROOT, ftc

from compiler.build import Options, compile_recipe
from compiler.errors import FtcError
from compiler.model_catalog import names
from compiler.models import find_model
from compiler.starting.answers import base_seen_from, card, main_memory
from compiler.starting.choosing import Wishes, written
from compiler.starting.recommended import Pick, choose_recommended
from compiler.starting.remarks import remarks
from compiler.starting.rows import look_at
from schemas.facts import ModelFacts

CHAT = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "."}]}
PAIR = {"prompt": "?", "chosen": ".", "rejected": "!"}
CARDS = ("t4", "rtx-4090", "a100-40gb", "h100", "mi300x")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder with conversations and preferences."""
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(CHAT)}\n" * 40)
    (tmp_path / "pairs.jsonl").write_text(f"{json.dumps(PAIR)}\n" * 40)
    return tmp_path


def init(folder: Path, *arguments: object, code: int = 0) -> str:
    done = ftc("init", *arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def recommendation(folder: Path, *arguments: object) -> Path:
    done = ftc("recommend", *arguments, "--format", "json", cwd=folder)
    path = folder / "found.json"
    path.write_text(done.stdout)
    return path


def recipes(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ftc.yaml"))


def recipe(folder: Path) -> Any:
    [path] = recipes(folder)
    return yaml.safe_load(path.read_text())


def test_the_best_is_written_with_the_reasons_beside_the_leaves(rows: Path) -> None:
    init(rows, "--from-recommendation", "--model", "llama-3.1-8b-instruct", "--gpu", "t4", "--data", "rows.jsonl")
    said = recipe(rows)
    assert said["method"] == {"kind": "qlora", "rank": 16}
    assert said["hardware"] == {"gpu": "t4"}
    text = recipes(rows)[0].read_text()
    assert re.search(r"# up to \d+\.\d of 14\.6 GiB; choice 1 of \d+ of ftc recommend; LoRA on a base", text)
    assert re.search(r"rank: 16  # the usual start; up to \d+ fits", text)
    assert ftc("validate", recipes(rows)[0], cwd=rows).returncode == 0


def test_a_choice_of_a_file_with_several_cards_and_longer_rows(rows: Path) -> None:
    found = recommendation(
        rows, "--model", "llama-3.1-8b-instruct", "--gpu", "a100-40gb", "--count", "3", "--max-length", "4096"
    )
    init(rows, "--from-recommendation", found, "--choice", "2", "--data", "rows.jsonl", "--name", "second")
    said = recipe(rows)
    second = json.loads(found.read_text())["choices"][1]
    assert said["name"] == "second"
    assert said["method"]["kind"] == second["method"] == "dora"
    assert said["data"]["max_length"] == 4096
    assert said["training"]["global_batch_size"] == 18
    assert said["hardware"] == {"gpu": "a100-40gb", "count": 3}
    compiled = compile_recipe("r", recipes(rows)[0].read_text(), rows, Options(online=False))
    assert compiled.footprint
    assert compiled.footprint.high / 2**30 == pytest.approx(second["memory"]["high_gib"], abs=1e-3)


def test_through_a_pipe(rows: Path) -> None:
    python = f"{sys.executable} -m compiler.cli"
    line = f"{python} recommend --model llama-3.2-1b-instruct --gpu t4 --format json | {python} init"
    done = subprocess.run(
        ["bash", "-c", f"{line} --from-recommendation - --data rows.jsonl"],
        cwd=rows,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert recipe(rows)["method"]["kind"] == "lora"


def test_preferences_are_recommended_for_as_such_and_not_from_a_file_for_others(rows: Path) -> None:
    init(rows, "--from-recommendation", "--model", "llama-3.1-8b", "--gpu", "a100-40gb", "--data", "pairs.jsonl")
    assert recipe(rows)["training"]["objective"] == "dpo"
    found = recommendation(rows, "--model", "llama-3.1-8b", "--gpu", "a100-40gb")
    said = init(rows, "--from-recommendation", found, "--data", "pairs.jsonl", "--name", "x", code=2)
    assert "is for sft, and the rows are for dpo" in said and "--objective dpo" in said
    assert len(recipes(rows)) == 1


def test_nothing_is_overwritten_and_nothing_written_where_nothing_fits(rows: Path) -> None:
    asked = ("--from-recommendation", "--model", "llama-3.2-1b-instruct", "--gpu", "t4", "--data", "rows.jsonl")
    init(rows, *asked)
    before = recipes(rows)[0].read_text()
    init(rows, *asked, code=2)
    assert recipes(rows)[0].read_text() == before
    asked = ("--from-recommendation", "--model", "llama-3.1-70b", "--gpu", "t4", "--data", "rows.jsonl")
    assert "no method fits" in init(rows, *asked, code=3)
    assert len(recipes(rows)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "is no recommendation"),
        ("[]", "is no recommendation"),
        ("{}", "is no recommendation"),
        ('{"recommends": "bases", "gpu": "t4", "count": 1}', "recommends base models"),
        ('{"recommends": "methods", "gpu": "t4", "count": "two"}', "is no recommendation"),
        (
            '{"recommends": "methods", "gpu": "t4", "count": 1, "max_length": 512, "model": {"base": "llama-3.2-1b"},'
            ' "choices": [{"choice": 1, "method": "lora", "set": {"output.dir": "/etc"}}]}',
            "does not set output.dir",
        ),
        (
            '{"recommends": "methods", "gpu": "t4", "count": 1, "max_length": 512, "model": {"base": "llama-3.2-1b"},'
            ' "choices": [{"choice": 1, "method": "lara", "set": {"method.kind": "lara"}}]}',
            "lara",
        ),
        (
            '{"recommends": "methods", "gpu": "t4", "count": -3, "max_length": 512, "model": {"base": "llama-3.2-1b"},'
            ' "choices": [{"choice": 1, "method": "lora", "set": {"method.kind": "lora"}}]}',
            "",
        ),
        (
            '{"recommends": "methods", "gpu": "t4", "count": 1, "max_length": 512, "model": {"base": "llama-3.2-1b"},'
            ' "choices": [{"choice": 1, "method": "full", "set": {"method.kind": "lora"}}]}',
            "is of method full, and sets method.kind to lora",
        ),
        (
            '{"recommends": "methods", "gpu": "t4", "count": 1, "max_length": 512, "model": {"base": "llama-3.2-1b"},'
            ' "choices": [{"choice": 1, "method": "lora", "set": {"method.kind": "lora"}}], "format_version": 2}',
            "is of format 2",
        ),
        (f'{{"recommends": "methods", "gpu": "t4", "count": 1, "sources": {"[" * 9999}', "nested too deeply"),
    ],
)
def test_a_file_of_anything_else_is_refused_kindly(rows: Path, content: str, said: str) -> None:
    (rows / "r.json").write_text(content)
    done = ftc("init", "--from-recommendation", "r.json", "--data", "rows.jsonl", cwd=rows)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert recipes(rows) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--choice", "99"), "there is no choice 99"),
        (("--gpu", "t4"), "the recommendation is for gpu a100-40gb"),
        (("--method", "lora"), "--from-recommendation chooses the method"),
        (("--count", "2"), "the recommendation is for count 1"),
    ],
)
def test_flags_that_contradict_the_recommendation(rows: Path, arguments: tuple[str, ...], said: str) -> None:
    found = recommendation(rows, "--model", "llama-3.1-8b", "--gpu", "a100-40gb")
    assert said in re.sub(
        r"\s+", " ", init(rows, "--from-recommendation", found, "--data", "rows.jsonl", *arguments, code=2)
    )
    assert recipes(rows) == []


def test_count_and_length_without_a_recommendation(rows: Path) -> None:
    asked = ("--model", "llama-3.1-8b-instruct", "--gpu", "a100-40gb", "--count", "2", "--max-length", "1024")
    init(rows, *asked, "--data", "rows.jsonl")
    said = recipe(rows)
    assert said["hardware"]["count"] == 2 and said["data"]["max_length"] == 1024
    assert "--choice is one of --from-recommendation" in init(rows, *asked, "--choice", "2", code=2)


@pytest.mark.parametrize("shift", range(4))
def test_the_first_and_the_last_choice_of_many_bases_validate_and_fit(
    rows: Path, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fourth base, on a spread of cards."""
    monkeypatch.chdir(rows)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = 0
    for number, base in enumerate(names()[shift::16]):
        gpu, file = card(CARDS[(number + shift) % len(CARDS)]), ("rows.jsonl", "pairs.jsonl")[number % 2]
        facts = find_model(base, rows, online=False)
        assert isinstance(facts, ModelFacts)
        looked = look_at(file, None)
        wishes = Wishes(
            None, base_seen_from(base, facts, rows), facts, looked, file, gpu, main_memory(gpu), None, looked.objective
        )
        try:
            choice = choose_recommended(Pick(1, None), wishes, 1, rows)
        except FtcError as error:
            assert "no method fits" in error.message, base
            continue
        text = written(choice.draft, "", remarks(choice, None))
        compiled = compile_recipe("r", text, rows, Options(online=False))
        assert compiled.valid, f"{base}: {compiled.diagnostics}\n{text}"
        assert compiled.footprint and compiled.footprint.verdict == "fits", f"{base} {gpu.name} {file}"
        done += 1
    assert done
