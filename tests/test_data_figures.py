"""The figures of `ftc data`, counted anew by other means: the tokenizer itself, and a native run of the same recipe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calls import ftc
from test_data_command import BASE, SINGLE, WORDS, chat, here, put, recipe, told

END = "<|eot_id|>"
SMALL = {"global_batch_size": 4, "micro_batch_size": 2}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


def encoded(tokenizer: Any, row: dict[str, Any]) -> tuple[int, int]:
    """How many tokens transformers makes of a conversation, and how many of them are the assistant's."""
    found = tokenizer.apply_chat_template(
        row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return len(found["input_ids"]), sum(found["assistant_masks"])


def test_tokens_and_lengths(tokenizer: Any) -> None:
    rows = [chat(number, number * 7 % 61) for number in range(120)]
    put(rows)
    lengths, trained = zip(*(encoded(tokenizer, row) for row in rows), strict=True)
    ordered, limit = sorted(lengths), 70
    kept = [at for at, length in enumerate(lengths) if length <= limit]
    assert 10 < len(kept) < 110
    data = told(recipe({"max_length": limit}))
    part = data["parts"]["train"]
    assert (part["read"], part["kept"], part["dropped"]) == (120, len(kept), 120 - len(kept))
    assert (part["tokens"], part["trained_tokens"]) == (
        sum(lengths[at] for at in kept),
        sum(trained[at] for at in kept),
    )
    assert part["trained_share"] == pytest.approx(part["trained_tokens"] / part["tokens"], abs=1e-6)
    assert part["over_max_length"] == 120 - len(kept)
    assert part["longest"] == ordered[-1]
    assert part["lengths"] == {
        "median": ordered[59],
        "p90": ordered[107],
        "p99": ordered[118],
        "longest": ordered[-1],
        "mean": pytest.approx(sum(lengths) / 120),
    }
    for bar in part["histogram"]:
        assert bar["rows"] == sum(bar["start"] <= length <= bar["end"] for length in lengths)
        assert bar["over"] == (bar["start"] > limit)
    assert sum(bar["rows"] for bar in part["histogram"]) == 120
    assert data["epoch"]["tokens"] == part["tokens"]
    (finding,) = data["findings"]
    assert (finding["code"], finding["rows"]) == ("FTC533", 120 - len(kept))
    assert finding["line"] == 1 + next(at for at, length in enumerate(lengths) if length > limit)


def test_a_share_that_is_cut(tokenizer: Any) -> None:
    """A cut row keeps its first tokens; of text that is split all is learnt but the first token of each piece."""
    rows = [chat(number, number * 7 % 61) for number in range(60)]
    put(rows)
    pairs = [encoded(tokenizer, row) for row in rows]
    part = told(recipe({"max_length": 40, "overlong": "truncate"}))["parts"]["train"]
    over = [length for length, _ in pairs if length > 40]
    assert (part["truncated"], part["over_max_length"]) == (len(over), len(over))
    assert part["tokens"] == sum(min(length, 40) for length, _ in pairs)
    said = here(recipe({"max_length": 40, "overlong": "truncate"})).stdout
    assert f"{len(over)} cut at max_length = 40" in said
    assert f"{len(over) / 60:.0%} of the rows are longer" in said
    texts = [" ".join(WORDS[:count]) for count in range(1, 60, 3)]
    put([{"text": text} for text in texts])
    lengths = [len(tokenizer(text + END)["input_ids"]) for text in texts]
    data = told(recipe({"train": {"path": "rows.jsonl"}, "max_length": 16}, training={"objective": "pretrain"}))
    part = data["parts"]["train"]
    pieces = [min(16, length - at) for length in lengths for at in range(0, length, 16)]
    learnt = [piece for piece in pieces if piece > 1]
    # A last piece of one token is left out, but its row is learnt.
    assert (part["tokens"], part["kept"], part["untrained"]) == (sum(learnt), len(learnt), 0)
    assert part["trained_tokens"] == sum(piece - 1 for piece in learnt)
    assert part["split"] == sum(length > 16 for length in lengths)


def test_two_answers_are_one_row(tokenizer: Any) -> None:
    """Where one of them is too long, neither is trained on."""
    pairs = [{"prompt": f"{number}?", "chosen": "yes", "rejected": "no " * number} for number in range(1, 21)]
    put(pairs)
    path = recipe({"train": {"path": "rows.jsonl"}, "max_length": 24}, training={"objective": "dpo", **SMALL})
    data = told(path)
    both = [
        [
            encoded(tokenizer, {"messages": [said("user", row["prompt"]), said("assistant", row[answer])]})
            for answer in ("chosen", "rejected")
        ]
        for row in pairs
    ]
    kept = [lengths for lengths in both if max(length for length, _ in lengths) <= 24]
    part = data["parts"]["train"]
    assert 2 < len(kept) < 19
    assert (part["read"], part["kept"], part["dropped"]) == (20, len(kept), 20 - len(kept))
    assert part["tokens"] == sum(length for lengths in kept for length, _ in lengths)
    assert part["trained_tokens"] == sum(trained for lengths in kept for _, trained in lengths)
    assert part["over_max_length"] == 20 - len(kept)
    assert data["epoch"]["rows"] == len(kept)
    assert data["epoch"]["steps"] == -(-len(kept) // 4)
    data = told(path, "--set", "data.overlong=error")
    assert (data["parts"]["train"]["kept"], data["parts"]["train"]["bad"]) == (len(kept), 20 - len(kept))
    assert data["parts"]["train"]["tokens"] == part["tokens"]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


# --- what is trained


MANY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is Oslo?"},
    {"role": "assistant", "content": "In Norway."},
    {"role": "user", "content": "And Rome?"},
    {"role": "assistant", "content": "In Italy: è bella 🌞."},
]
FIRST, LAST = (f"{MANY[at]['content']}{END}" for at in (2, 4))


def stretches(row: dict[str, Any]) -> tuple[str, list[str]]:
    """All of a row's text, and what of it is trained, each run of it by itself."""
    runs: list[str] = []
    before = False
    for item in row["stretches"]:
        if item["trained"]:
            runs = [*runs[:-1], runs[-1] + item["text"]] if before else [*runs, item["text"]]
        before = item["trained"]
    return "".join(item["text"] for item in row["stretches"]), runs


@pytest.mark.parametrize(
    ("loss_on", "trained"),
    [("assistant", [FIRST, LAST]), ("last_assistant", [LAST])],
)
def test_trained_text_is_marked(tokenizer: Any, loss_on: str, trained: list[str]) -> None:
    put([{"messages": MANY}])
    path = recipe({"loss_on": loss_on})
    (row,) = told(path)["rows"]
    whole = tokenizer.apply_chat_template(MANY, tokenize=False)
    assert stretches(row) == (whole, trained)
    assert row["trained"] == sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in trained)
    assert row["tokens"] == len(tokenizer(whole, add_special_tokens=False)["input_ids"])
    said = here(path).stdout
    assert [part.partition("⟧")[0] for part in said.split("⟦")[1:]] == trained
    special = [item["text"] for item in row["stretches"] if item["special"]]
    assert "".join(special).count(END) == 5


def test_trained_text_of_other_formats(tokenizer: Any) -> None:
    begin = tokenizer.bos_token
    put([{"text": "Helium is light."}])
    (row,) = told(recipe({"train": {"path": "rows.jsonl"}}, training={"objective": "pretrain"}))["rows"]
    whole, (trained,) = stretches(row)
    assert whole.removeprefix(begin) == f"Helium is light.{END}"
    assert whole.endswith(trained)
    assert row["trained"] == row["tokens"] - 1
    put([{"prompt": "2 + 3 =", "completion": " 5"}])
    (row,) = told(recipe({"train": {"path": "rows.jsonl"}}))["rows"]
    assert stretches(row)[0].removeprefix(begin) == f"2 + 3 = 5{END}"
    assert stretches(row)[1] == [f" 5{END}"]
    put([{"prompt": "2 + 3?", "chosen": "5", "rejected": "23"}])
    both = told(recipe({"train": {"path": "rows.jsonl"}}, training={"objective": "dpo"}))["rows"]
    assert [(row["about"], stretches(row)[1]) for row in both] == [("chosen", [f"5{END}"]), ("rejected", [f"23{END}"])]


# --- where generation stops


def test_tokens_that_answers_end_with(tokenizer: Any) -> None:
    """What the tokenizer does not stop at, the base's generation settings may."""
    put([chat(number) for number in range(4)])
    ends = told(recipe())["parts"]["train"]["ends"]
    assert ends == [{"token": END, "stops": True, "rows": 4}]
    shutil.copytree(BASE, "base")
    settings = json.loads(Path("base/tokenizer_config.json").read_text())
    Path("base/tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "<|end_of_text|>"}))
    stop = tokenizer.convert_tokens_to_ids(END)
    for named, code in ((stop, []), ([1, stop], []), (1, ["FTC552"]), (None, ["FTC552"])):
        Path("base/generation_config.json").write_text(json.dumps({"eos_token_id": named}))
        data = told(recipe(model={"base": "./base"}))
        assert [item["code"] for item in data["diagnostics"]] == code
        assert data["parts"]["train"]["ends"] == [{"token": END, "stops": not code, "rows": 4}]
        assert data["valid"]
    data = told(recipe(model={"base": "./base", "tokens": {"eos": END}}))
    assert not data["diagnostics"]


def test_ends_that_are_cut_off() -> None:
    """Another template would not help."""
    put([chat(number, 60) for number in range(4)])
    (finding,) = told(recipe({"max_length": 24, "overlong": "truncate"}))["diagnostics"]
    assert (finding["code"], finding["level"], finding["path"]) == ("FTC551", "error", "data.train")
    assert "raise data.max_length" in finding["hint"]


# --- of several sources


def test_a_source_without_rows_is_named() -> None:
    put([chat(number) for number in range(4)])
    put([], "none.jsonl")
    train = [SINGLE, {"path": "none.jsonl", "format": "messages"}]
    (finding,) = told(recipe({"train": train}))["diagnostics"]
    assert (finding["code"], finding["path"]) == ("FTC553", "data.train[1].path")


def test_a_source_of_which_nothing_is_trained_is_named() -> None:
    """Though there is another; rows that are kept for validation are no such thing."""
    put([chat(number) for number in range(4)])
    put([{"messages": chat(number)["messages"][:1]} for number in range(3)], "asked.jsonl")
    train = [SINGLE, {"path": "asked.jsonl", "format": "messages"}]
    said = {(item["code"], item["path"]) for item in told(recipe({"train": train}))["diagnostics"]}
    assert said == {("FTC550", "data.train[1].path")}
    put([chat(9)], "one.jsonl")
    rows = [SINGLE, {"path": "one.jsonl", "format": "messages"}]
    parts = told(recipe({"train": rows, "validation": 4}))
    assert parts["valid"]


def test_a_weight_that_leaves_no_row_is_named() -> None:
    put([chat(number) for number in range(3)])
    path = recipe({"train": {**SINGLE, "weight": 0.01}}, training={**SMALL, "warmup": 0})
    (finding,) = told(path)["diagnostics"]
    assert (finding["code"], finding["level"], finding["path"]) == ("FTC550", "error", "data.train[0].weight")
    assert ftc("build", path, "--target", "native", "--out", "built", cwd=Path.cwd()).returncode == 0
    done = subprocess.run([sys.executable, "built/train.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "sees no row at all" in done.stderr
    assert not list(Path("outputs").rglob("*.arrow"))


def test_places_whose_path_holds_the_working_folders() -> None:
    inner = Path(f"a{Path.cwd()}")
    inner.mkdir(parents=True)
    put([{"messages": []}], inner / "rows.jsonl")
    (finding,) = told(recipe({"train": {"path": str(inner / "rows.jsonl"), "format": "messages"}}))["findings"]
    assert finding["file"] == str(inner / "rows.jsonl")


@pytest.mark.parametrize(("weight", "about"), [(0.5, "about "), (2, "")])
def test_rows_that_are_drawn_are_told_as_about_so_many(tokenizer: Any, weight: float, about: str) -> None:
    rows = [chat(number) for number in range(40)]
    put(rows)
    path = recipe({"train": {**SINGLE, "weight": weight}}, training={**SMALL, "warmup": 0})
    total = told(path)["epoch"]["tokens"]
    assert total == pytest.approx(weight * sum(encoded(tokenizer, row)[0] for row in rows), rel=0.01)
    epoch = next(line for line in here(path).stdout.splitlines() if line.startswith("an epoch"))
    assert re.fullmatch(rf"an epoch +{about}{total:,} tokens in {about}{40 * weight:g} rows, padded .*", epoch)


# --- near duplicates


def test_rows_that_are_nearly_the_same() -> None:
    """Told as a share, with pairs: no row of them is called wrong."""
    said = [" ".join(WORDS[number * 97 % 900 :][:60]) for number in range(40)]
    rows = [{"text": text} for text in said]
    put([*rows, *({"text": f"{row['text']} {number}"} for number, row in enumerate(rows[:10]))])
    data = told(recipe({"train": {"path": "rows.jsonl"}}, training={"objective": "pretrain"}))
    found = data["near_duplicates"]
    assert found["looked_at"] == 50
    assert 8 <= found["rows"] <= 12
    assert ["rows.jsonl:1", "rows.jsonl:41"] in found["pairs"]
    assert not data["findings"]


def test_rows_too_short_to_be_alike_are_not_spoken_of() -> None:
    put([chat(0, 0), chat(1, 0)])
    assert told(recipe())["near_duplicates"]["looked_at"] == 0
    assert "near-duplicates" not in here(recipe()).stdout


# --- a native run


@pytest.mark.parametrize("packing", [True, False])
def test_a_native_run_counts_the_same(packing: bool) -> None:
    rows = [chat(number, number * 7 % 61) for number in range(60)]
    rows[7], rows[21] = {"messages": []}, {"messages": rows[0]["messages"][:1]}
    put(rows)
    data = {"packing": packing, "validation": 0.2, "max_length": 64, "bad_rows": "drop"}
    path = recipe(
        {**data, "train": [SINGLE, {**SINGLE, "weight": 2}]},
        training={"global_batch_size": 8, "micro_batch_size": 2, "epochs": 1.5, "warmup": 0},
        checkpoint={"every": 1000},
        logging={"every": 1000},
    )
    asked = told(path)
    assert ftc("build", path, "--target", "native", "--out", "built", cwd=Path.cwd()).returncode == 0
    command = [sys.executable, "built/train.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(next(Path("outputs").rglob("summary.json")).read_text())
    for part, counts in summary["rows"].items():
        assert counts == {name: asked["parts"][part][name] for name in counts}
        told_there = {code: found["rows"] for code, found in summary["findings"][part].items()}
        here_too = {item["code"]: item["rows"] for item in asked["findings"] if item["part"] == part}
        # Rows that are there twice are looked for by ftc data alone.
        assert told_there == {code: count for code, count in here_too.items() if code not in ("FTC535", "FTC537")}
    assert asked["epoch"]["steps"] == summary["steps"]
    if packing:
        assert asked["epoch"]["rows"] == summary["packed_rows"]
