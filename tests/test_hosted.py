"""Recipes for models that only their provider trains, as the commands take them."""

from __future__ import annotations

import ast
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hosted_ground import BASES, built, conversation, ftc, recipe, write_rows

from backends.hosted import PROVIDERS
from compiler.build import Options, compile_recipe
from compiler.hosted.artifact import hosted_artifact
from compiler.hosted.catalog import providers
from compiler.hosted.cost import dollars
from compiler.hosted.rows import survey
from compiler.hosted.tokens import counter
from schemas.hosted import Provider

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
RECIPES = {"gpt-4o-mini-support": "openai", "claude-3-haiku-support": "bedrock"}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    write_rows(tmp_path, [conversation(number) for number in range(40)])
    return tmp_path


# --- artifacts


def golden(files: dict[str, str]) -> str:
    """The files; of the rows their first lines and a checksum."""
    return "".join(f"=== {name}\n{_shown(name, text)}" for name, text in sorted(files.items()) if name != "start.py")


def _shown(name: str, text: str) -> str:
    if not name.endswith(".jsonl"):
        return text
    lines = text.splitlines(keepends=True)
    return "".join(lines[:2]) + f"… {len(lines)} rows, sha256 {sha256(text.encode()).hexdigest()}\n"


@pytest.mark.parametrize(("name", "provider"), RECIPES.items())
def test_golden(name: str, provider: Provider, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    file = ROOT / "recipes" / f"{name}.ftc.yaml"
    found = compile_recipe(file.name, file.read_text(), file.parent, Options(provider=provider))
    assert found.hosted
    made = golden(hosted_artifact(found.hosted, survey(found.hosted), found.diagnostics).files)
    kept = GOLDEN / name / f"{provider}.txt"
    if request.config.getoption("--write-golden"):
        kept.write_text(made)
    assert made == kept.read_text()


LOCAL = sorted(file for file in (ROOT / "recipes").glob("*.ftc.yaml") if file.name.partition(".ftc")[0] not in RECIPES)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("file", LOCAL, ids=lambda file: file.name.removesuffix(".ftc.yaml"))
def test_recipes_for_this_machine_are_refused_with_their_line(file: Path, provider: Provider) -> None:
    found = compile_recipe(file.name, file.read_text(), file.parent, Options(provider=provider))
    errors = {item.code: item for item in found.diagnostics if item.level == "error"}
    assert {"FTC430", "FTC432"} <= set(errors)
    lines = file.read_text().splitlines()
    assert lines[errors["FTC432"].span.line - 1].lstrip().startswith(("method:", "kind:"))
    assert all(item.span.line for item in errors.values())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_artifact_is_whole(provider: str, tmp_path: Path) -> None:
    out = built(tmp_path, provider)
    names = {"README.md", "about.json", "ftc.lock.json", "job.json", "recipe.ftc.yaml", "requirements.txt", "start.py"}
    assert {file.name for file in out.iterdir()} == {*names, "train.jsonl"}
    lock = json.loads((out / "ftc.lock.json").read_text())
    assert lock["target"] == provider
    for name, digest in lock["files"].items():
        assert sha256((out / name).read_bytes()).hexdigest() == digest
    used = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse((out / "start.py").read_text()))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert not used & {"compiler", "backends", "schemas"}


def test_built_twice_it_is_the_same_and_a_changed_file_is_kept(rows: Path) -> None:
    file, out = recipe(rows, "openai"), rows / "out"
    for _ in range(2):
        assert ftc("build", file, "--target", "openai", "--out", out).exit_code == 0
    (out / "job.state.json").write_text("{}")
    assert ftc("build", file, "--target", "openai", "--out", out).exit_code == 0
    assert (out / "job.state.json").exists()
    (out / "job.json").write_text("{}")
    done = ftc("build", file, "--target", "openai", "--out", out)
    assert done.exit_code == 2
    assert "was changed after ftc wrote it" in done.output


def test_stdout_prints_the_request_alone(rows: Path) -> None:
    done = ftc("build", recipe(rows, "openai"), "--target", "openai", "--stdout")
    assert json.loads(done.stdout)["model"] == BASES["openai"]


def test_what_is_lost_by_allow_lossy_is_said_in_the_readme(rows: Path) -> None:
    file = recipe(rows, "openai", training={"scheduler": "linear"})
    assert ftc("build", file, "--target", "openai", "--out", rows / "out").exit_code == 1
    assert ftc("build", file, "--target", "openai", "--out", rows / "out", "--allow-lossy").exit_code == 0
    assert "scheduler cannot be linear" in (rows / "out" / "README.md").read_text()


# --- commands


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_commands_that_read_recipes_take_it(provider: str, rows: Path) -> None:
    file = recipe(rows, provider)
    for command in ("validate", "plan", "config", "data"):
        done = ftc(command, file)
        assert done.exit_code == 0, (command, done.output)
    for command in ("validate", "plan", "config"):
        assert ftc(command, file, "--target", provider).exit_code == 0


def test_a_plan_says_what_is_known_and_what_is_not(rows: Path) -> None:
    said = json.loads(ftc("plan", recipe(rows, "openai"), "--format", "json").stdout)
    assert said["target"] == "openai"
    assert said["memory"]["verdict"] == "unknown"
    assert said["time"]["hours"] is None
    tokens = said["tokens"]["trained"]
    assert tokens["low"] < tokens["about"] < tokens["high"]
    assert said["cost"]["usd"] == pytest.approx(tokens["about"] * 3e-6, abs=1e-4)
    assert said["cost"]["low_usd"] < said["cost"]["usd"] < said["cost"]["high_usd"]


def test_a_price_that_nobody_states_is_not_made_up(rows: Path) -> None:
    said = json.loads(ftc("plan", recipe(rows, "bedrock"), "--format", "json").stdout)
    assert said["cost"]["usd"] is None
    assert "no price is known" in said["cost"]["basis"]


def test_config_is_a_recipe_of_the_same_job(rows: Path) -> None:
    file = recipe(rows, "openai", training={"epochs": 2})
    spelled = rows / "spelled.ftc.yaml"
    spelled.write_text(ftc("config", file).stdout)
    plans = [json.loads(ftc("plan", each, "--format", "json").stdout) for each in (file, spelled)]
    assert plans[0]["request"] == plans[1]["request"]
    assert plans[0]["plan"] == plans[1]["plan"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--target", "openai"),
        ("diff", "--targets", "native,openai"),
        ("doctor", "--target", "openai"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_of_this_machine_say_what_to_do_instead(arguments: tuple[str, ...], rows: Path) -> None:
    command, *rest = arguments
    done = ftc(command, *([] if command == "doctor" else [recipe(rows, "openai")]), *rest)
    assert done.exit_code == 2
    said = str(done.output) + str(getattr(done.exception, "message", ""))
    assert "trains on its own machines" in said


def test_run_and_diff_of_such_a_recipe_end_without_a_traceback(rows: Path) -> None:
    file = recipe(rows, "openai")
    assert "FTC431" in ftc("run", file).output
    other = rows / "other.ftc.yaml"
    other.write_text(file.read_text())
    assert "FTC431" in ftc("diff", file, other).output


@pytest.mark.parametrize(
    "arguments",
    [
        *(("plan", *rest) for rest in (("--gpu", "all"), ("--stack", "peft"), ("--exact",), ("--tokens", "9"))),
        ("data", "--rows", "2"),
        *(("build", "--target", "openai", name) for name in ("--ignore-memory", "--notebook")),
        *(("build", "--target", "openai", *rest) for rest in (("--launcher", "ray"), ("--matrix", "name=a,b"))),
        ("build", "--target", "openai@3"),
    ],
    ids=" ".join,
)
def test_an_option_that_would_do_nothing_is_refused(arguments: tuple[str, ...], rows: Path) -> None:
    command, *rest = arguments
    done = ftc(command, recipe(rows, "openai"), *rest)
    assert done.exit_code == 2
    assert "a provider has its own" in done.output or "openai has no versions" in done.output


@pytest.mark.parametrize("command", [("validate",), ("build", "--target", "openai")], ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("path", "value"),
    [("training.objective", "zz"), ("name", "a$(x)"), ("method.rank", "8"), ("nothing", "1"), ("training.epochs", "x")],
)
def test_a_leaf_that_cannot_be_read_is_an_error(path: str, value: str, command: tuple[str, ...], rows: Path) -> None:
    done = ftc(command[0], recipe(rows, "openai"), *command[1:], "--set", f"{path}={value}")
    assert done.exit_code == 1
    assert "--set: error FTC10" in done.output


def test_rows_that_are_left_out_are_told_without_this_machines_folders(rows: Path) -> None:
    long = {"messages": [{"role": "user", "content": "why? " * 999}, {"role": "assistant", "content": "so"}]}
    bad = {"messages": [{"role": "user", "content": "why?"}]}
    write_rows(rows, [conversation(number) for number in range(20)] + [long, bad])
    data = {"train": {"path": "train.jsonl"}, "validation": None, "bad_rows": "drop", "max_length": 99}
    done = ftc("build", recipe(rows, "openai", data=data), "--target", "openai", "--out", rows / "o")
    assert done.exit_code == 0, done.output
    for name in ("README.md", "about.json"):
        text = (rows / "o" / name).read_text("utf-8")
        assert "train.jsonl:21" in text
        assert "train.jsonl:22" in text
        assert str(rows) not in text


@pytest.mark.parametrize(("value", "told"), [(0.1234567891, "0.1234567891"), (1.0, "1"), (2, "2")])
def test_a_multiple_is_told_to_its_last_figure(value: float, told: str, tmp_path: Path) -> None:
    out = built(tmp_path, "bedrock", method={"kind": "hosted", "learning_rate_multiplier": value})
    assert json.loads((out / "job.json").read_text("utf-8"))["hyperParameters"]["learningRateMultiplier"] == told


def test_too_few_rows_as_all_are_too_long_is_said(rows: Path) -> None:
    for validation in (0.5, None):
        data = {"train": {"path": "train.jsonl"}, "validation": validation, "max_length": 4}
        done = ftc("build", recipe(rows, "openai", data=data), "--target", "openai", "--out", rows / "o")
        assert done.exit_code == 1
        assert "40 rows left out for their length" in done.output + str(getattr(done.exception, "message", ""))


def test_raw_text_is_refused_although_its_format_is_not_written(rows: Path) -> None:
    write_rows(rows, [{"text": "hi"}] * 40)
    done = ftc("validate", recipe(rows, "openai"))
    assert "format cannot be text" in done.output


def test_raw_keys_of_tools_are_dropped_where_that_is_asked_for(rows: Path) -> None:
    out = rows / "out"
    raw = ("build", recipe(rows, "openai", targets={"axolotl": {"a": 1}}), "--target", "openai", "--out", out)
    assert "error FTC414" in ftc(*raw).output
    done = ftc(*raw, "--drop-raw")
    assert (done.exit_code, "warning FTC414" in done.output) == (0, True)
    assert "has raw keys for Axolotl alone" in (out / "README.md").read_text("utf-8")
    assert json.loads((out / "ftc.lock.json").read_text("utf-8"))["lost"]


def test_an_unknown_target_is_told_the_names_of_all(rows: Path) -> None:
    done = ftc("build", recipe(rows, "openai"), "--target", "opena")
    assert done.exit_code == 2
    assert "'openai', 'bedrock'" in done.output


def test_a_base_of_a_provider_under_another_method_gets_a_hint(rows: Path) -> None:
    done = ftc("validate", recipe(rows, "openai", method={"kind": "lora"}))
    assert done.exit_code == 4
    assert "`method: {kind: hosted}`, --target openai" in done.output


def test_the_model_of_one_provider_for_the_other(rows: Path) -> None:
    done = ftc("build", recipe(rows, "openai"), "--target", "bedrock")
    assert done.exit_code == 1
    assert "Amazon Bedrock does not train GPT-4o mini, which is a model of OpenAI" in done.output


def test_the_end_of_a_model_is_said(rows: Path) -> None:
    done = ftc("validate", recipe(rows, "bedrock"))
    assert "FTC437" in done.output
    assert "2026-09-10" in done.output


# --- facts, tokens, money


def test_every_fact_has_a_source() -> None:
    for provider in providers().values():
        for name in provider.limits.__struct_fields__:
            limit: Any = getattr(provider.limits, name)
            assert limit is None or len(limit.source) > 10, name
        for model in provider.models.values():
            assert model.sources
            assert all(len(source) > 10 for source in (*model.objectives.values(), model.price.source))
            assert model.example.source
            assert model.price.day >= "2024"


def test_no_tokenizer_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache without the file, or with half of it, would make tiktoken fetch it."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert not counter("o200k_base").exact
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(b"half of it")
    found = counter("o200k_base")
    assert not found.exact
    assert "o200k_base is not on this machine" in found.basis


def test_an_estimate_holds_what_was_measured() -> None:
    """Tokens of o200k_base, counted in 2026-11 by js-tiktoken: bytes of a file, its tokens."""
    count = counter(None).count
    for size, tokens in ((401_019, 91_245), (115_375, 32_544), (8_728, 2_066), (400_000, 139_540)):
        found = count("x" * size)
        assert found.low <= tokens <= found.high


def test_cents_are_not_rounded_away() -> None:
    assert [dollars(amount) for amount in (0.0, 0.00012, 0.5, 1234.5)] == ["0.00", "0.00012", "0.50", "1,234.50"]
