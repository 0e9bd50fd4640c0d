"""`ftc eval`: figures of a run beside its base, that a plain script finds too, and how sure they are."""

from __future__ import annotations

import json
import math
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from calls import ftc
from finished_run import HELD_OUT, QUICKSTART, ROWS, call, dates, finished
from native_base import full, source, write_rows
from test_train import summary_of, validation_loss

from compiler.after.intervals import difference, mean, share
from compiler.commands import eval as command
from compiler.errors import FtcError
from schemas.method_plan import AdapterPlan, PromptPlan

CORPUS = QUICKSTART / "corpus.txt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    return finished(folder, dates(folder))


def evaluated(run: Path, *arguments: object) -> dict[str, Any]:
    done = call(command.command, run, *arguments, "--format", "json")
    if done.exception:
        raise done.exception
    return json.loads(done.output)


def test_the_command_says_it_side_by_side_and_keeps_it(trained: Path) -> None:
    done = ftc("eval", trained, "--data", HELD_OUT, "--limit", 24, "--forgetting", CORPUS)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"cars: 24 rows of {HELD_OUT} (messages), 264 trained tokens (cpu, float32)\n" in done.stdout
    assert "0 of 24, 0.0% (0.0% to 13.8%)" in done.stdout
    assert "x 1." in done.stdout  # perplexity of another text
    assert f"\nwritten to {trained / 'eval-heldout.json'}\n" in done.stdout
    first = (trained / "eval-heldout.json").read_bytes()
    kept = json.loads(first)
    assert kept["exact_match"]["tuned"]["right"] == kept["exact_match"]["gained"] > 0
    assert len(kept["answers"]) == 24
    assert kept["forgetting"]["stretches"] == 24
    assert kept["forgetting"]["loss"]["difference"]["low"] > 0
    # Once more: another file, the same figures.
    assert evaluated(trained, "--data", HELD_OUT, "--limit", 24)["loss"] == kept["loss"]
    assert (trained / "eval-heldout.json").read_bytes() == first
    assert (trained / "eval-heldout-2.json").is_file()


def test_the_tokens_are_those_of_training(trained: Path, tmp_path: Path) -> None:
    """On the rows that were kept for validation it is the loss that training found, and that a plain script finds."""
    from backends.native.rows import chooser

    lines = ROWS.read_text().splitlines()[:1600]
    held = chooser([{**_source(), "path": str(ROWS), "limit": 1600}], 32, 42)
    rows = [json.loads(line) for number, line in enumerate(lines) if held(number)]
    found = evaluated(trained, "--data", write_rows(tmp_path / "rows.jsonl", rows))
    summary = json.loads((trained / "summary.json").read_text())
    assert found["data"]["trained_tokens"] == summary["rows"]["validation"]["trained_tokens"]
    assert found["loss"]["tuned"]["value"] == pytest.approx(summary["loss"]["last_validation"], abs=1e-3)
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(QUICKSTART / "base").eval()
    assert found["loss"]["base"]["value"] == pytest.approx(validation_loss(base, trained.parent / "artifact"), abs=1e-3)


def _source() -> dict[str, Any]:
    return {"local": True, "format": "messages", "split": "train", "subset": None, "revision": None, "weight": 1.0}


def test_rows_of_training_are_told(trained: Path, tmp_path: Path) -> None:
    done = call(command.command, trained, "--data", ROWS, "--limit", 2)
    assert "these are rows that it was trained on" in done.output
    other = write_rows(tmp_path / "other.jsonl", [json.loads(line) for line in HELD_OUT.read_text().splitlines()[:2]])
    assert "trained on:" not in call(command.command, trained, "--data", other).output


FORMATS: dict[str, tuple[Any, bool]] = {
    "alpaca.jsonl": ({"instruction": "12 May 2074", "input": "", "output": "2074-05-12"}, True),
    "prompt.jsonl": ({"prompt": "12 May 2074", "completion": "2074-05-12"}, True),
    "sharegpt.jsonl": (
        {"conversations": [{"from": "human", "value": "12 May 2074"}, {"from": "gpt", "value": "2074-05-12"}]},
        True,
    ),
    "text.jsonl": ({"text": "The date is 12 May 2074."}, False),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(name: str, trained: Path, tmp_path: Path) -> None:
    row, asked = FORMATS[name]
    found = evaluated(trained, "--data", write_rows(tmp_path / name, [row] * 3))
    assert found["data"]["rows"] == 3
    assert ("exact_match" in found) is asked
    if asked:
        assert {row["expected"] for row in found["answers"]} == {"2074-05-12"}
        assert {row["question"] for row in found["answers"]} == {"12 May 2074"}


def test_answers_that_are_compared(trained: Path, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{day} May 2074", "chosen": f"2074-05-{day}", "rejected": "I do not know."} for day in range(10, 20)
    ]
    found = evaluated(trained, "--data", write_rows(tmp_path / "pairs.jsonl", rows))
    assert found["preferred"]["tuned"]["right"] == 10
    assert "exact_match" not in found


@pytest.mark.parametrize(
    "method",
    [full(), PromptPlan("prompt_tuning", 4, None), AdapterPlan("adapter", 8, "relu", "houlsby")],
    ids=lambda m: m.kind,
)
def test_every_method_is_loaded(method: Any, tmp_path: Path) -> None:
    made = dates(tmp_path, method=method, training={"max_steps": 4, "micro_batch_size": 8, "global_batch_size": 8})
    found = evaluated(finished(tmp_path, made), "--data", HELD_OUT, "--limit", 8)
    assert found["loss"]["tuned"]["value"] < found["loss"]["base"]["value"]
    assert summary_of(made)["loss"]["last_validation"] == pytest.approx(found["loss"]["tuned"]["value"], abs=0.5)


def test_what_was_trained_packed_is_asked_row_by_row(tmp_path: Path) -> None:
    made = dates(
        tmp_path,
        data={"packing": True},
        training={"max_steps": 20, "micro_batch_size": 4, "global_batch_size": 4},
        output={"merge": True},
    )
    run = finished(tmp_path, made)
    found = evaluated(run, "--data", HELD_OUT, "--limit", 16)
    assert found["loss"]["tuned"]["value"] == pytest.approx(summary_of(made)["loss"]["last_validation"], abs=0.3)
    assert json.loads((run / "merged" / "merged.json").read_text())["difference"] < 1e-4


def test_prompts_of_any_length_are_answered_as_alone(trained: Path) -> None:
    from compiler.after.answers import answers
    from compiler.after.finished import find_run
    from compiler.after.loading import tokenizer_of, trained_model

    run = find_run(str(trained))
    tokenizer, model = tokenizer_of(run), trained_model(run, "cpu")
    chats = [json.loads(line)["messages"][:1] for line in HELD_OUT.read_text().splitlines()[:12]]
    told = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]
    assert len({len(ids) for ids in told}) > 3
    ends, pad = [tokenizer.eos_token_id], tokenizer.pad_token_id
    together = answers(model, [(ids, 12) for ids in told], ends, pad, print)
    alone = [answers(model, [(ids, 12)], ends, pad, print)[0] for ids in told]
    assert together == alone
    assert answers(model, [(ids, 12) for ids in told], ends, pad, print, same=True) == alone


# --- how sure it is


def test_intervals() -> None:
    assert (share(0, 24).low, share(24, 24).high) == (0.0, 1.0)
    assert share(0, 24).high == pytest.approx(0.138, abs=1e-3)  # Wilson's, as in his tables
    assert share(5, 10).low == pytest.approx(0.2366, abs=1e-4)
    assert mean([3.0], [2]).low is None
    sums, counts = [float(n % 7) * 4 for n in range(400)], [4] * 400
    found = mean(sums, counts)
    spread = math.sqrt(sum((n / 4 - found.value) ** 2 for n in sums) / 399 / 400)
    assert found.low == pytest.approx(found.value - 1.96 * spread, abs=0.02)
    assert found.high == pytest.approx(found.value + 1.96 * spread, abs=0.02)
    # The same rows: what they have in common does not count.
    change = difference(sums, [loss + 0.4 for loss in sums], counts)
    assert (change.low, change.high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_more_tokens_weigh_more() -> None:
    assert mean([1.0, 90.0], [1, 9]).value == 9.1


# --- what goes wrong

WRONG: dict[str, tuple[tuple[object, ...], int, str]] = {
    "nothing asked": ((), 2, "say what to evaluate on: --data, --forgetting or --tasks"),
    "no such file": (("--data", "/nowhere.jsonl"), 2, 'there is no file "/nowhere.jsonl"'),
    "no text": (("--forgetting", "/nowhere.txt"), 2, '"/nowhere.txt" cannot be read as text'),
    "no extra": (("--tasks", "arc_easy"), 4, "pip install 'ftc[eval]'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str, trained: Path) -> None:
    arguments, code, words = WRONG[name]
    if name == "no extra":
        pytest.importorskip("torch")
        from importlib.util import find_spec

        if find_spec("lm_eval"):
            pytest.skip("lm-eval is installed")
        done = ftc("eval", trained, *arguments)
        assert (done.returncode, words in done.stderr) == (code, True)
        return
    done = call(command.command, trained, *arguments)
    error = done.exception
    assert words in (error.message if isinstance(error, FtcError) else str(error))
    assert getattr(error, "exit_code", None) == code


BAD_ROWS = {
    "unrecognised": ([{"this": 1, "that": 2}], "its columns are this, that"),
    "bad": ([{"messages": [{"role": "user", "content": 3}]}], "FTC516"),
    "too long": (
        [{"messages": [{"role": "user", "content": "a " * 200}, {"role": "assistant", "content": "b"}]}],
        "no token of",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_that_cannot_be_used(name: str, trained: Path, tmp_path: Path) -> None:
    rows, words = BAD_ROWS[name]
    done = call(command.command, trained, "--data", write_rows(tmp_path / "rows.jsonl", rows))
    assert isinstance(done.exception, FtcError)
    assert words in done.exception.message
    assert done.exception.exit_code == 1


def test_a_model_that_says_nothing_any_more_is_evaluated_all_the_same(trained: Path, tmp_path: Path) -> None:
    """Trained to pieces: what is no number is null in the file, as JSON has no word for it."""
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(trained, tmp_path / "broken", ignore=shutil.ignore_patterns("checkpoints", "eval-*"))
    file = broken / "adapter" / "adapter_model.safetensors"
    weights = {name: value * float("nan") for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    found = evaluated(broken, "--data", HELD_OUT, "--limit", 2, "--forgetting", CORPUS)
    assert found["loss"]["tuned"]["value"] is None
    assert found["forgetting"]["perplexity"]["tuned"] is None
    assert found["loss"]["base"]["value"] > 1
    assert "nan" in call(command.command, broken, "--data", HELD_OUT, "--limit", 2).output


def test_the_perplexity_of_a_great_loss_is_no_error() -> None:
    from compiler.after.evaluation import _perplexity

    assert _perplexity(0.0) == 1.0
    assert _perplexity(1e6) == math.inf


def test_a_file_whose_name_is_no_text(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "\udcff.jsonl"
    file.write_text("".join(HELD_OUT.read_text().splitlines(keepends=True)[:2]))
    assert evaluated(trained, "--data", file)["data"]["path"].endswith("/?.jsonl")


def test_what_cannot_be_written_is_said_all_the_same(trained: Path) -> None:
    """Where a file may have a KiB."""
    before, limits = set(trained.iterdir()), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        done = call(command.command, trained, "--data", HELD_OUT, "--limit", 24)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(done.exception, OSError)
    assert "exact match" in done.output
    assert "written to" not in done.output
    assert set(trained.iterdir()) == before


def test_a_run_that_moved_is_evaluated(trained: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(trained, tmp_path / "elsewhere")
    assert evaluated(moved, "--data", HELD_OUT, "--limit", 4)["data"]["rows"] == 4


def test_a_run_with_a_limit_on_its_own_columns(tmp_path: Path) -> None:
    """Rows that look as those of training are read as they were, columns of other names among them."""
    from schemas.recipe import Fields

    rows = [{"frage": f"{day} May 2074", "antwort": f"2074-05-{day}"} for day in range(10, 30)]
    file = write_rows(tmp_path / "train.jsonl", rows)
    own = source(file, "prompt_completion", fields=Fields(prompt="frage", completion="antwort"))
    made = dates(tmp_path, data={"train": (own,), "validation": 4, "loss_on": "completion"}, training={"max_steps": 2})
    found = evaluated(finished(tmp_path, made), "--data", write_rows(tmp_path / "more.jsonl", rows[:5]))
    assert found["answers"][0]["question"] == "10 May 2074"
