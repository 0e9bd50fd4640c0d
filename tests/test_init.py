"""`ftc init`: what it writes is right and fits, whatever was answered; on a terminal it asks, elsewhere it does not."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pexpect
import pytest
import yaml
from calls import RECIPES, ROOT, ftc

from compiler.build import Options, compile_recipe
from compiler.model_catalog import names
from compiler.models import find_model
from compiler.starting.answers import base_seen_from, card, main_memory
from compiler.starting.choosing import Choice, Wishes, choose, written
from compiler.starting.remarks import remarks
from compiler.starting.rows import look_at
from schemas.facts import ModelFacts

ROWS = {
    "messages": {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "."}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "."}]},
    "alpaca": {"instruction": "?", "input": "", "output": "."},
    "prompt_completion": {"prompt": "?", "completion": "."},
    "preference": {"prompt": "?", "chosen": ".", "rejected": "!"},
    "kto": {"prompt": "?", "completion": ".", "label": True},
    "text": {"text": "Once."},
}
CARDS = ("t4", "rtx-3060-ti", "v100-16gb", "rtx-4090", "a100-40gb", "h100", "h200", "mi300x")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of each format."""
    for name, row in ROWS.items():
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n" * 40)
    return tmp_path


def chosen(base: str, gpu: str, file: str, folder: Path) -> Choice:
    facts = find_model(base, folder, online=False)
    assert isinstance(facts, ModelFacts)
    rows, found = look_at(file, None), card(gpu)
    memory = main_memory(found)
    wishes = Wishes(None, base_seen_from(base, facts, folder), facts, rows, file, found, memory, None, rows.objective)
    return choose(wishes, folder)


@pytest.mark.parametrize("shift", range(len(CARDS)))
def test_every_base_on_a_spread_of_cards_and_formats(rows: Path, shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each base meets each card, and every format many of both. What is written is valid and fits; else nothing does,
    which the smallest method that can be had proves."""
    monkeypatch.chdir(rows)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    written_ones, formats = 0, list(ROWS)
    for number, base in enumerate(names()):
        gpu, kind = CARDS[(number + shift) % len(CARDS)], formats[(number + 3 * shift) % len(formats)]
        choice = chosen(base, gpu, f"{kind}.jsonl", rows)
        assert not choice.draft.errors, f"{base}, {gpu}, {kind}: {choice.draft.errors}"
        text = written(choice.draft, "", remarks(choice, None))
        compiled = compile_recipe("r", text, rows, Options())
        assert compiled.valid, f"{base}, {gpu}, {kind}: {compiled.diagnostics}"
        assert compiled.footprint
        assert (compiled.footprint.verdict == "fits") == choice.draft.fits
        assert choice.draft.fits or all(item.verdict != "fits" for item in choice.tried)
        written_ones += choice.draft.fits
    assert written_ones > len(names()) // 2


def init(*arguments: object, cwd: Path, code: int = 0) -> str:
    done = ftc("init", *arguments, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_recipe_is_short_explained_and_read_alike_by_every_reader(rows: Path) -> None:
    said = init("--model", "llama-3.1-8b-instruct", "--gpu", "t4", "--data", "messages.jsonl", cwd=rows)
    [file] = rows.glob("*.ftc.yaml")
    assert file.name == "llama-3.1-8b-instruct-messages-qlora.ftc.yaml"
    text = file.read_text()
    assert text.startswith(
        "# yaml-language-server: $schema=./.ftc/recipe.schema.json\n# $schema: ./.ftc/recipe.schema.json\nversion: 1\n"
    )
    assert len(text.splitlines()) < 35
    assert re.search(r"kind: qlora  # up to \d+\.\d of 14\.6 GiB; lora needs up to \d+\.\d of 14\.6 GiB", text)
    assert yaml.safe_load(text)["data"] == {
        "train": {"path": "messages.jsonl", "format": "messages"},
        "validation": 0.05,
        "max_length": 2048,
    }
    json.loads((rows / ".ftc" / "recipe.schema.json").read_text())
    done = ftc("validate", file.name, cwd=rows)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "no problems found")
    for command in re.findall(r"^  ftc (\w+) (\S+)", said, re.MULTILINE):
        assert command[1] == file.name
    assert ftc("plan", file.name, cwd=rows).returncode == 0


def test_a_method_that_was_asked_for_is_kept(rows: Path) -> None:
    """What helps is changed instead, and says what it costs."""
    init(
        *("--model", "qwen2.5-7b-instruct", "--gpu", "l4", "--data", "messages.jsonl", "--method", "lora"),
        *("--out", "r.ftc.yaml"),
        cwd=rows,
    )
    assert yaml.safe_load((rows / "r.ftc.yaml").read_text())["method"] == {"kind": "lora"}
    assert ftc("validate", "r.ftc.yaml", cwd=rows).returncode == 0


def test_3_where_nothing_fits_nothing_is_written(rows: Path) -> None:
    said = init("--model", "llama-3.1-70b-instruct", "--gpu", "t4", "--data", "messages.jsonl", cwd=rows, code=3)
    assert "nothing fits t4" in said
    assert "hardware.gpu=" in said
    assert not list(rows.glob("*.yaml"))
    assert not (rows / ".ftc").exists()


def test_2_nothing_is_overwritten(rows: Path) -> None:
    arguments = ("--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", "--data", "text.jsonl")
    init(*arguments, cwd=rows)
    [file] = rows.glob("*.ftc.yaml")
    file.write_text("# mine\n")
    assert "is there already" in init(*arguments, cwd=rows, code=2)
    assert "--out" in init(*arguments, "--out", file.name, cwd=rows, code=2)
    assert file.read_text() == "# mine\n"
    (rows / "dangling.ftc.yaml").symlink_to("nowhere")
    init(*arguments, "--out", "dangling.ftc.yaml", cwd=rows, code=2)
    assert not (rows / "nowhere").exists()
    assert not [path for path in rows.iterdir() if path.name.startswith(".") and path.name != ".ftc"]


def test_a_schema_that_somebody_changed_stays(rows: Path) -> None:
    (rows / ".ftc").mkdir()
    (rows / ".ftc" / "recipe.schema.json").write_text("{}")
    said = init("--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", "--data", "text.jsonl", cwd=rows)
    assert "editors go on with that one" in said
    (rows / "other").mkdir()
    (rows / "other" / ".ftc").write_text("a file")
    said = init(
        *("--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", "--data", "text.jsonl", "--out", "other/r.ftc.yaml"),
        cwd=rows,
    )
    assert "editors find none" in said
    assert (rows / ".ftc" / "recipe.schema.json").read_text() == "{}"
    assert list(rows.glob("*.ftc.yaml"))


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"--model": None, "--data": None}, 2, "--model and --data must be given"),
        ({"--model": "", "--data": ""}, 2, "--model and --data must be given"),
        ({"--gpu": None}, 2, "--gpu must be given"),
        ({"--gpu": "rtx-4900"}, 2, 'did you mean "rtx-4090"?'),
        ({"--model": "llama-3.1-8b-instrukt"}, 4, 'did you mean "llama-3.1-8b-instruct"?'),
        ({"--model": "nobody/nothing"}, 4, "this is offline"),
        ({"--data": "mesages.jsonl"}, 2, 'did you mean "messages.jsonl"?'),
        ({"--data": "."}, 2, "*.jsonl"),
        ({"--data": "someone/rows"}, 2, "say it with --data-format"),
        ({"--data": "my rows"}, 2, "is no file"),
        ({"--data": " "}, 2, "is no file"),
        ({"--data": "'messages.jsonl'"}, 2, 'did you mean "messages.jsonl"?'),
        ({"--out": "/proc/r.ftc.yaml"}, 2, '"/proc/r.ftc.yaml" cannot be written: '),
        ({"--data": "odd.jsonl"}, 2, "its columns are a, b"),
        ({"--data": "empty.jsonl"}, 2, "has no rows"),
        ({"--objective": "dpo"}, 1, "dpo"),
        ({"--name": "Not A Name"}, 2, "lower-case letters"),
        ({"--out": "no/such/r.ftc.yaml"}, 2, "there is no folder"),
        ({"--method": "lorra"}, 2, "lorra"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    rows: Path, changes: dict[str, str | None], code: int, said: str
) -> None:
    (rows / "odd.jsonl").write_text('{"a": 1, "b": 2}\n')
    (rows / "empty.jsonl").write_text("")
    given = {"--model": "qwen2.5-0.5b-instruct", "--gpu": "t4", "--data": "messages.jsonl", **changes}
    arguments = [part for name, value in given.items() if value is not None for part in (name, value)]
    done = ftc("init", *arguments, cwd=rows, env={"PATH": str(rows)})
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert not list(rows.glob("*.yaml"))


def test_this_machines_card_is_taken_where_none_is_named(rows: Path) -> None:
    """A script stands in for nvidia-smi."""
    tool = rows / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 4090, 24564, 8.9'\n")
    tool.chmod(0o755)
    done = ftc(
        *("init", "--model", "qwen3-8b", "--data", "messages.jsonl", "--out", "r.ftc.yaml"),
        cwd=rows,
        env={"PATH": f"{tool.parent}:/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "this machine's rtx-4090" in done.stdout
    assert yaml.safe_load((rows / "r.ftc.yaml").read_text())["hardware"] == {"gpu": "rtx-4090"}


def test_columns_that_others_call_otherwise(rows: Path) -> None:
    (rows / "faq.csv").write_text("Question,Answer\nWhy?,So.\nHow?,Thus.\n")
    init("--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", "--data", "faq.csv", "--out", "r.ftc.yaml", cwd=rows)
    assert yaml.safe_load((rows / "r.ftc.yaml").read_text())["data"]["train"] == {
        "path": "faq.csv",
        "format": "prompt_completion",
        "fields": {"prompt": "Question", "completion": "Answer"},
    }
    assert ftc("validate", "r.ftc.yaml", cwd=rows).returncode == 0


def test_a_base_in_a_folder_and_a_recipe_in_another(rows: Path) -> None:
    base = RECIPES / "quickstart" / "base"
    (rows / "models").mkdir()
    (rows / "models" / "tiny").symlink_to(base)
    (rows / "recipes").mkdir()
    init(
        *("--model", "models/tiny", "--gpu", "cpu", "--data", "messages.jsonl", "--out", "recipes/r.ftc.yaml"),
        cwd=rows,
    )
    recipe = yaml.safe_load((rows / "recipes" / "r.ftc.yaml").read_text())
    assert recipe["model"]["base"] == "../models/tiny"
    assert recipe["data"]["train"]["path"] == "../messages.jsonl"
    assert recipe["hardware"]["memory"].endswith("GiB")
    assert (rows / "recipes" / ".ftc" / "recipe.schema.json").exists()
    assert ftc("validate", "recipes/r.ftc.yaml", cwd=rows).returncode == 0


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("größe ö's $(x).jsonl", "qwen2.5-0.5b-instruct-gr-e-s-x-lora"),
        ("#hash: x.jsonl", "qwen2.5-0.5b-instruct-hash-x-lora"),
        ("parts/*.jsonl", "qwen2.5-0.5b-instruct-parts-lora"),
        ("-x.jsonl", "qwen2.5-0.5b-instruct-x-lora"),
    ],
)
def test_files_of_any_name(rows: Path, name: str, called: str) -> None:
    (rows / "parts").mkdir()
    for part in ("parts/1.jsonl", "parts/2.jsonl", *(() if "*" in name else (name,))):
        (rows / part).write_text((rows / "messages.jsonl").read_text())
    init("--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", f"--data={name}", "--out", "r.ftc.yaml", cwd=rows)
    recipe = yaml.safe_load((rows / "r.ftc.yaml").read_text())
    assert (recipe["name"], recipe["data"]["train"]["path"]) == (called, name)
    assert ftc("validate", "r.ftc.yaml", cwd=rows).returncode == 0


def test_a_dataset_of_the_hub(rows: Path) -> None:
    init(
        *("--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", "--data", "someone/rows", "--data-format", "alpaca"),
        *("--out", "r.ftc.yaml"),
        cwd=rows,
    )
    assert yaml.safe_load((rows / "r.ftc.yaml").read_text())["data"]["train"] == {
        "path": "someone/rows",
        "format": "alpaca",
    }


# --- on a terminal


def asking(cwd: Path, *arguments: str) -> pexpect.spawn[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PATH": str(cwd), "TERM": "dumb"}
    command = ["-m", "compiler.cli", "init", *arguments]
    return pexpect.spawn(
        sys.executable, command, cwd=str(cwd), env=env, encoding="utf-8", timeout=60, dimensions=(40, 200)
    )


def ended(child: pexpect.spawn[str]) -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_it_asks_for_what_is_missing_and_offers_what_was_meant(rows: Path) -> None:
    child = asking(rows)
    child.expect(r"Base model \[qwen2\.5-1\.5b-instruct\]: ")
    child.sendline("qwen2.5-7b-instrukt")
    child.expect(r'did you mean "qwen2\.5-7b-instruct"\?')
    child.expect(r"Base model \[qwen2\.5-7b-instruct\]: ")
    child.sendline("")
    child.expect("GPU: ")
    child.sendline("a100")
    child.expect("more than one card")
    child.expect("GPU: ")
    child.sendline("l4")
    child.expect("Training rows.*: ")
    child.sendline("mesages.jsonl")
    child.expect(r"\[messages\.jsonl\]: ")
    child.sendline("'messages.jsonl'")  # as a terminal writes a file that is dropped on it
    child.expect(r"Write to \[qwen2\.5-7b-instruct-messages-\w+\.ftc\.yaml\]: ")
    child.sendline("mine.ftc.yaml")
    child.expect("wrote mine.ftc.yaml")
    child.expect("next:")
    assert ended(child) == 0
    assert ftc("validate", "mine.ftc.yaml", cwd=rows).returncode == 0


def test_it_asks_what_a_row_is_where_nothing_tells(rows: Path) -> None:
    child = asking(
        rows, "--model", "qwen2.5-0.5b-instruct", "--gpu", "t4", "--data", "someone/rows", "--out", "r.ftc.yaml"
    )
    child.expect("What a row is.*: ")
    child.sendline("sharegpt")
    child.expect("wrote r.ftc.yaml")
    assert ended(child) == 0


def test_130_ctrl_c_writes_nothing(rows: Path) -> None:
    child = asking(rows)
    child.expect("Base model")
    child.sendintr()
    assert ended(child) == 130
    assert not list(rows.glob("*.yaml"))
