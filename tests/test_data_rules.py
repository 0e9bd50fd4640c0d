"""What `ftc validate` says of data before every row is read, and that `ftc data` says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import ROOT
from click.testing import CliRunner

from backends import TARGETS
from compiler.build import Compiled, Options, compile_recipe
from compiler.cli import main
from compiler.data import files
from compiler.data.files import expand, is_too_wide
from compiler.data.recognise import MOST_FILES, first_rows
from schemas.artifact import Target
from schemas.diagnostic import Diagnostic
from schemas.plan import Plan
from schemas.recipe import Fields

BASE = str(ROOT / "recipes" / "quickstart" / "base")
TALK = {"prompt": [{"role": "user", "content": "2 + 3?"}], "completion": [{"role": "assistant", "content": "It is 5."}]}
PAIR = {"prompt": "3 + 4?", "completion": "It is 7."}
CHAT = {"messages": [*TALK["prompt"], *TALK["completion"]]}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and the folder of the recipe."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def put(name: str, *rows: Any) -> str:
    """Rows in a file of the working folder, and its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return name


def recipe(train: Any, data: dict[str, Any] | None = None, **sections: Any) -> str:
    whole = {
        "version": 1,
        "name": "rows",
        "model": {"base": BASE},
        "method": {"kind": "lora"},
        "data": {
            "train": {"path": train} if isinstance(train, str) else train,
            **{"validation": None, "packing": False, "max_length": 128},
            **(data or {}),
        },
        "hardware": {"gpu": "cpu", "memory": "8GiB"},
        **sections,
    }
    return yaml.safe_dump(whole, sort_keys=False)


def compiled(text: str, **options: Any) -> Compiled:
    return compile_recipe("r", text, Path.cwd(), Options(**options))


def said(text: str) -> list[tuple[str, str]]:
    return [(item.code, item.path) for item in compiled(text).diagnostics]


def one(text: str) -> Diagnostic:
    """The one thing that is said of a recipe."""
    (found,) = compiled(text).diagnostics
    return found


def plan_of(text: str) -> Plan:
    plan = compiled(text).plan
    assert plan
    return plan


def because(text: str, path: str) -> str:
    return "".join(item.because for item in plan_of(text).decisions if item.path == path)


def told(text: str) -> tuple[int, list[tuple[str, str]]]:
    """The exit code of `ftc data`, and what it says of the recipe."""
    Path("r.ftc.yaml").write_text(text, "utf-8")
    result = CliRunner().invoke(main, ["data", "--format", "json", "r.ftc.yaml"])
    return result.exit_code, [(item["code"], item["message"]) for item in json.loads(result.stdout)["diagnostics"]]


# --- prompts and completions that are lists of turns


def test_prompts_that_are_turns_are_rendered_by_the_own_template() -> None:
    text = recipe(put("rows.jsonl", TALK, TALK | {"completion": [{"role": "assistant", "content": "Five."}]}))
    assert said(text) == []
    assert plan_of(text).model.chat_template == "tokenizer"
    why = "the base's own: prompts and completions of rows.jsonl are lists of turns"
    assert because(text, "model.chat_template") == why
    assert told(text) == (0, [])
    put("rows.jsonl", PAIR)
    assert plan_of(text).model.chat_template is None


def test_turns_of_validation_and_of_later_files_need_a_template_as_well() -> None:
    held = {"validation": {"path": put("held.jsonl", TALK)}}
    assert plan_of(recipe(put("rows.jsonl", PAIR), held)).model.chat_template == "tokenizer"
    put("many/a.jsonl", PAIR)
    put("many/b.jsonl", TALK)
    sources = [{"path": "many/a.jsonl"}, {"path": "many/b.jsonl", "format": "prompt_completion"}]
    for text in (recipe("many/*.jsonl"), recipe(sources)):
        assert said(text) == []
        assert plan_of(text).model.chat_template == "tokenizer"
        assert told(text) == (0, [])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("row", [TALK, PAIR], ids=["turns", "texts"])
def test_the_tokenizers_own_template_can_be_asked_for(target: Target, row: Any) -> None:
    named = {"base": "Qwen/Qwen2.5-0.5B-Instruct", "chat_template": "tokenizer", "dtype": "bfloat16"}
    found = compiled(recipe(put("rows.jsonl", row), model=named), target=target, emit=True, ignore_memory=True)
    assert [item for item in found.diagnostics if item.level == "error"] == []
    assert found.artifact
    asked = recipe("rows.jsonl", model={"base": BASE, "chat_template": "tokenizer"})
    assert (said(asked), told(asked)) == ([], (0, []))


def test_a_row_of_turns_after_one_of_texts_is_one_error_with_its_remedy() -> None:
    text = recipe(put("rows.jsonl", PAIR, TALK))
    found = one(text)
    assert (found.code, found.message) == ("FTC503", 'rows.jsonl:2: "prompt" is no text: a list')
    assert found.hint == "write model.chat_template: tokenizer, which takes texts as well as lists of turns"
    assert told(text)[0] == 1
    mended = recipe("rows.jsonl", model={"base": BASE, "chat_template": "tokenizer"})
    assert (said(mended), told(mended)) == ([], (0, []))
    put("rows.jsonl", PAIR, PAIR | {"prompt": 5})
    assert "mend the row" in str(one(text).hint)


@pytest.mark.parametrize(
    ("row", "template"), [(TALK, "auto"), (TALK, "tokenizer"), (PAIR, "tokenizer"), (CHAT, "tokenizer")]
)
def test_what_needs_a_template_is_refused_for_a_base_without_one(row: Any, template: str) -> None:
    text = recipe(put("rows.jsonl", row), model={"base": "meta-llama/Llama-3.1-8B", "chat_template": template})
    assert said(text) == [("FTC239", "model.chat_template")]


# --- files without rows


def test_an_empty_file_among_others_is_a_warning_of_both_commands() -> None:
    put("d/a.jsonl")
    put("d/b.jsonl", CHAT, CHAT | {"messages": [TALK["prompt"][0], {"role": "assistant", "content": "Five."}]})
    text = recipe("d/*.jsonl")
    found = one(text)
    assert (found.code, found.level, found.path) == ("FTC244", "warning", "data.train.path")
    assert found.message == "a.jsonl has no rows"
    assert told(text) == (0, [("FTC244", "a.jsonl has no rows")])
    assert plan_of(text).data.train[0].format == "messages"
    assert because(text, "data.train[0].format").startswith("the first row of b.jsonl shows")
    for number in range(7):
        put(f"d/a{number}.jsonl")
    message = "a.jsonl, a0.jsonl, a1.jsonl, a2.jsonl, a3.jsonl and 3 more have no rows"
    assert one(text).message == message


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "txt"])
def test_nothing_but_empty_files_is_an_error(ending: str) -> None:
    put(f"d/a.{ending}")
    put(f"d/b.{ending}")
    text = recipe(f"d/*.{ending}")
    found = one(text)
    assert (found.code, found.level, found.message) == ("FTC503", "error", f"a.{ending}: the file has no rows")
    assert told(text)[0] == 1


def test_rows_are_found_behind_any_number_of_empty_files(tmp_path: Path) -> None:
    names = [put(f"d/{number:03}.jsonl") for number in range(MOST_FILES + 20)]
    put(names[-5], CHAT)
    looked_at = list(first_rows([tmp_path / name for name in names], Fields()))
    assert [row.format for _, row in looked_at if not row.empty] == ["messages"]
    assert len(looked_at) == len(names) - 4


# --- leaves without effect


@pytest.mark.parametrize(
    ("row", "kind", "objective"),
    [
        (PAIR, "prompt_completion", "sft"),
        ({"text": "five"}, "text", "sft"),
        ({"text": "five"}, "text", "pretrain"),
    ],
)
def test_a_system_text_that_nothing_writes_is_refused(row: Any, kind: str, objective: str) -> None:
    text = recipe(put("rows.jsonl", row), {"system": "Be brief."}, training={"objective": objective})
    found = one(text)
    assert (found.code, found.path, found.span.column) == ("FTC245", "data.system", 3)
    assert found.message == f"{kind} rows are trained as they are, and get no system text"
    assert ("model.chat_template" in str(found.hint)) is (kind != "text")


@pytest.mark.parametrize("leaf", ["system", "tools"])
def test_columns_that_only_a_template_writes_are_refused_without_one(leaf: str) -> None:
    source = {"path": put("rows.jsonl", PAIR), "fields": {leaf: "theirs"}}
    hub = {"path": "org/pairs", "format": "prompt_completion", "fields": {leaf: "theirs"}}
    for plain in (source, hub):
        assert said(recipe(plain)) == [("FTC245", f"data.train.fields.{leaf}")]
    for name in ("chatml", "tokenizer"):
        assert said(recipe(source, {"system": "Be brief."}, model={"base": BASE, "chat_template": name})) == []


def test_a_system_text_is_right_where_some_rows_get_it() -> None:
    names = [put("chats.jsonl", CHAT), put("text.jsonl", {"text": "five"}), put("pairs.jsonl", PAIR)]
    assert said(recipe([{"path": name} for name in names], {"system": "Be brief."})) == []
    assert said(recipe(put("talk.jsonl", TALK), {"system": "Be brief."})) == []


def test_a_weight_of_validation_is_refused() -> None:
    held = {"path": put("held.jsonl", CHAT), "weight": 2}
    put("rows.jsonl", CHAT)
    assert said(recipe("rows.jsonl", {"validation": held})) == [("FTC246", "data.validation.weight")]
    assert said(recipe("rows.jsonl", {"validation": [held]})) == [("FTC246", "data.validation[0].weight")]
    assert said(recipe({"path": "rows.jsonl", "weight": 2}, {"validation": held | {"weight": 1.0}})) == []


# --- which files, and what they hold


def test_names_that_do_not_match_hide_no_file(tmp_path: Path) -> None:
    for number in range(20_001):
        (tmp_path / f"{number}.png").touch()
    put("z1.jsonl", CHAT)
    assert said(recipe("z*.jsonl")) == []
    assert expand("**/z*.jsonl", tmp_path) == (tmp_path / "z1.jsonl",)


def test_a_pattern_that_is_given_up_is_not_said_to_match_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST", 20)
    for number in range(30):
        Path(f"d/{number}").mkdir(parents=True)
    put("d/z/rows.jsonl", CHAT)
    found = one(recipe("**/rows.jsonl"))
    assert found.code == "FTC502"
    assert "folders and names, and files are sought no further" in found.message
    assert found.hint == "begin the pattern in the folder that holds the files"
    assert not is_too_wide("d/z/*.jsonl", Path.cwd())
    assert one(recipe("d/z/*.json")).message == 'no file matches "d/z/*.json"'


BOTH = {"chosen": CHAT["messages"], "rejected": [*TALK["prompt"], {"role": "assistant", "content": "It is 23."}]}


@pytest.mark.parametrize(
    ("row", "objective", "hint"),
    [
        (CHAT | BOTH, "dpo", "write format: preference"),
        (CHAT | BOTH, "orpo", "write format: preference"),
        (CHAT | {"label": True}, "kto", "write format: kto"),
        (CHAT, "dpo", "dpo needs preference rows"),
        (CHAT | {"chosen": "5"}, "dpo", "dpo needs preference rows"),
        (CHAT | BOTH, "kto", "kto needs kto rows"),
        (CHAT | {"label": True}, "dpo", "dpo needs preference rows"),
    ],
)
def test_conversations_that_are_also_compared_answers(row: Any, objective: str, hint: str) -> None:
    training = {"objective": objective, "micro_batch_size": 2, "global_batch_size": 4}
    found = one(recipe(put("rows.jsonl", row), training=training))
    assert (found.code, found.hint) == ("FTC237", hint)
    if hint.startswith("write"):
        source = {"path": "rows.jsonl", "format": hint.rpartition(" ")[2]}
        assert said(recipe(source, training=training)) == []


@pytest.mark.parametrize(("mark", "word"), [(";", '";"'), ("\t", "tabs")])
@pytest.mark.parametrize("answer", ["5", "5, as always"], ids=["plain", "with a comma"])
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({}, "FTC504"),
        ({"format": "prompt_completion"}, "FTC505"),
        ({"fields": {"prompt": "question"}}, "FTC504"),
    ],
    ids=["seen", "stated", "fields"],
)
def test_a_table_with_other_separators(source: Any, code: str, answer: str, mark: str, word: str) -> None:
    Path("rows.csv").write_text(f"prompt{mark}completion\n2 + 3?{mark}{answer}\n", "utf-8")
    text = recipe({"path": "rows.csv", **source})
    found = one(text)
    assert (found.code, found.path) == (code, "data.train.path")
    assert found.message == f"the columns of rows.csv are separated by {word}, and ftc reads commas"
    assert told(text)[0] == 1


def test_a_semicolon_in_the_name_of_a_column_is_none_between_columns() -> None:
    Path("rows.csv").write_text("said; in short\nfive\n", "utf-8")
    assert said(recipe({"path": "rows.csv", "format": "text", "fields": {"text": "said; in short"}})) == []


def test_the_home_folder_is_named_where_a_file_of_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put("home/data/train.jsonl", CHAT)
    assert one(recipe("~/data/rows.jsonl")).hint == f"looked in {tmp_path}/home/data"
    assert one(recipe("~/data/trian.jsonl")).hint == 'did you mean "~/data/train.jsonl"?'
    assert one(recipe("~/data/*.csv")).hint == f"looked in {tmp_path}/home/data"
    assert one(recipe("~/data")).message == '"~/data" is a folder'
    assert one(recipe("rows.jsonl")).hint == f"looked in {tmp_path}; paths are relative to the recipe"
    assert one(recipe("~nobody-is-called-so/rows.jsonl")).code == "FTC501"


def test_a_folder_that_reads_like_a_dataset_of_the_hub() -> None:
    put("rows/a.jsonl", CHAT)
    found = one(recipe("rows"))
    assert found.code == "FTC238"
    assert (found.hint or "").endswith("for the folder of that name write ./rows/*.jsonl")
    assert said(recipe("./rows/*.jsonl")) == []
