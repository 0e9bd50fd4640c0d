"""`ftc lsp` as an editor sees it: a real process over stdio, asked what a person at the keyboard would ask."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import ftc
from lsp_client import Editor, cursor, cut, edited

ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
RECIPE = """\
version: 1
name: tiny
model:
  base: llama-3.1-8b-instruct
  attention: auto
method:
  kind: lora
  target_modules: [q_proj, v_proj]
data:
  train: {path: data/train.jsonl}
  max_length: 4096
training:
  micro_batch_size: auto
  global_batch_size: 16
hardware: {gpu: rtx-4090}
"""
FULL = RECIPE.replace("kind: lora\n  target_modules: [q_proj, v_proj]", "kind: full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as people have it: rows, a template, a base, a tokenizer."""
    here = tmp_path_factory.mktemp("recipes")
    for name in ("data", "base", "empty", "tokenizer", ".hidden"):
        (here / name).mkdir()
    (here / "data" / "train.jsonl").write_text(f"{json.dumps(ROW)}\n" * 100)
    (here / "data" / "odd name.csv").write_text("question,answer\na,b\n")
    (here / "data" / "notes.md").write_text("not rows\n")
    (here / "chat.jinja").write_text("{{ messages }}")
    (here / "base" / "config.json").write_text("{}")
    (here / "tokenizer" / "tokenizer_config.json").write_text("{}")
    return here


@pytest.fixture(scope="module")
def editor(folder: Path) -> Iterator[Editor]:
    """Beside a schema."""
    one = Editor(folder)
    yield one
    assert one.stop() == 0
    assert not one.errors, b"".join(one.errors).decode()
    assert not [item for item in one.said if item.get("method") in ("window/showMessage", "window/logMessage")]


@pytest.fixture(scope="module")
def alone(folder: Path) -> Iterator[Editor]:
    """The only server of an editor."""
    one = Editor(folder, {"schemaDiagnostics": True})
    yield one
    assert one.stop() == 0


def opened(editor: Editor, marked: str) -> tuple[str, tuple[int, int], list[dict[str, Any]]]:
    """Open a text with a cursor; its URI, the cursor, what is published."""
    text, place = cursor(marked)
    uri = editor.open(text)
    return uri, place, editor.diagnostics(uri)


def labels(editor: Editor, marked: str) -> list[str]:
    uri, place, _ = opened(editor, marked)
    return [item["label"] for item in editor.complete(uri, place)]


def accepted(editor: Editor, marked: str, label: str) -> str:
    """The text after taking a completion."""
    uri, place, _ = opened(editor, marked)
    (item,) = [item for item in editor.complete(uri, place) if item["label"] == label]
    return edited(editor.texts[uri], [item["textEdit"]])


def done(editor: Editor, text: str, title: str) -> str:
    """The text after the action whose title begins so, sought on every line."""
    uri, _, about = opened(editor, text)
    found = {
        action["title"]: action
        for line in range(len(text.splitlines()))
        for action in editor.actions(uri, line, about)
        if action["title"].startswith(title)
    }
    assert len(found) == 1, [
        action["title"] for line in range(len(text.splitlines())) for action in editor.actions(uri, line)
    ]
    return editor.after(uri, next(iter(found.values())))


# --- what is found


def test_a_recipe_that_fits_has_no_findings(editor: Editor) -> None:
    assert opened(editor, RECIPE)[2] == []


def test_findings_are_those_of_validate(editor: Editor, folder: Path) -> None:
    text = (
        FULL.replace("train.jsonl", "trian.jsonl")
        .replace("  kind: full", "  kind: lora\n  target_modules: [q_proj, w_proj]\n  init: loftq\n  dropout: 0.1")
        .replace("global_batch_size: 16", "global_batch_size: 16\n  max_steps: 5\n  epochs: 2")
    )
    _, _, found = opened(editor, text)
    (folder / "said.ftc.yaml").write_text(text)
    said = json.loads(ftc("validate", folder / "said.ftc.yaml", "--format", "json").stdout)["diagnostics"]
    assert len(said) == 4
    assert [
        (item["code"], item["range"]["start"]["line"] + 1, item["range"]["start"]["character"] + 1) for item in found
    ] == [(item["code"], item["line"], item["column"]) for item in said]
    assert [item["message"] for item in found] == [f"{item['message']}\n{item['hint']}" for item in said]
    assert [cut(text, item["range"]) for item in found] == ["w_proj", "loftq", "data/trian.jsonl", "5"]
    assert {item["severity"] for item in found} == {1}
    assert [item["source"] for item in found] == ["ftc"] * 4
    assert found[0]["relatedInformation"][0]["message"] == "model.base"


def test_each_finding_leads_to_its_page(editor: Editor) -> None:
    _, _, (found,) = opened(editor, RECIPE.replace("q_proj", "w_proj"))
    page = found["codeDescription"]["href"]
    file, _, line = page.removeprefix("file://").partition("#L")
    assert Path(file).read_text().splitlines()[int(line) - 1].startswith("## FTC206 ")


def test_what_a_schema_says_is_not_said_twice(editor: Editor, alone: Editor) -> None:
    text = RECIPE.replace("kind: lora", "kind: lora\n  rnak: 8\n  dropout: 7").replace("version: 1\n", "")
    assert opened(editor, text)[2] == []
    assert [item["code"] for item in opened(alone, text)[2]] == ["FTC101", "FTC102", "FTC103"]


def test_renamed_keys_are_said_beside_a_schema(editor: Editor) -> None:
    _, _, (found,) = opened(editor, RECIPE.replace("max_length:", "max_seq_length:"))
    assert (found["code"], found["message"].splitlines()[1]) == ("FTC102", "this is called data.max_length here")


def test_text_that_is_no_yaml_is_said_at_its_place(editor: Editor) -> None:
    uri, _, (found,) = opened(editor, RECIPE.replace("{path: data/train.jsonl}", "{path: data/train.jsonl"))
    assert found["code"] == "FTC001"
    assert found["range"]["start"]["line"] == 10
    assert "auto" in editor.texts[uri]


def test_a_card_that_is_too_small_is_an_error_on_its_line(editor: Editor) -> None:
    uri, _, (found,) = opened(editor, FULL)
    assert (found["code"], found["severity"], cut(FULL, found["range"])) == ("FTC301", 1, "rtx-4090")
    assert "what helps: method.kind: lora" in found["message"]
    where = [cut(FULL, item["location"]["range"]) for item in found["relatedInformation"]]
    assert where == ["base", "training"]
    assert all(item["location"]["uri"] == uri for item in found["relatedInformation"])


def test_tight_is_a_warning(editor: Editor) -> None:
    text = RECIPE.replace("hardware: {gpu: rtx-4090}", "hardware: {gpu: rtx-4090, memory: 17.3GiB}")
    _, _, (found,) = opened(editor, text.replace("auto\n  global", "1\n  global"))
    assert (found["code"], found["severity"]) == ("FTC302", 2)


def test_without_a_line_for_the_card_the_method_is_marked(folder: Path) -> None:
    editor = Editor(folder, {"gpu": "t4"})
    _, _, found = opened(editor, FULL.replace("hardware: {gpu: rtx-4090}\n", ""))
    assert [(item["code"], cut(FULL, item["range"])) for item in found] == [("FTC301", "full")]
    assert editor.stop() == 0


def test_refusals_of_the_target_that_is_set(folder: Path) -> None:
    editor = Editor(folder, {"target": "unsloth"})
    text = RECIPE.replace("attention: auto", "attention: flex")
    uri, _, found = opened(editor, text)
    assert [(item["code"][:4], cut(text, item["range"])) for item in found] == [("FTC4", "flex")]
    assert "**refused here**" in editor.hover(uri, (4, 4))
    assert editor.stop() == 0


def test_another_version_of_a_target(folder: Path) -> None:
    editor = Editor(folder, {"target": "axolotl@0.17"})
    assert [item["code"] for item in opened(editor, RECIPE)[2]] == ["FTC406", "FTC405", "FTC405"]
    mended = done(editor, RECIPE, "Set data.packing: false")
    assert mended == RECIPE.replace("max_length: 4096", "max_length: 4096\n  packing: false")
    assert "FTC406" not in {item["code"] for item in opened(editor, mended)[2]}
    assert editor.stop() == 0
    editor = Editor(folder, {"target": "axolotl@0.1"})
    opened(editor, RECIPE)
    (shown,) = [item["params"]["message"] for item in editor.said if item.get("method") == "window/showMessage"]
    assert shown.startswith("ftc: ftc.target: ftc does not know axolotl 0.1")
    assert editor.stop() == 0


def test_all_targets_say_each_thing_once(folder: Path) -> None:
    editor = Editor(folder, {"target": "all"})
    _, _, found = opened(editor, RECIPE.replace("q_proj", "w_proj"))
    assert [item["code"] for item in found].count("FTC206") == 1
    assert {item["code"] for item in found} == {"FTC206", "FTC405"}
    assert editor.stop() == 0


def test_wrong_settings_are_shown_and_left_out(folder: Path) -> None:
    editor = Editor(folder, {"target": "axolotle", "gpu": "rtx-4091", "colour": "red"})
    assert opened(editor, RECIPE)[2] == []
    shown = [item["params"]["message"] for item in editor.said if item.get("method") == "window/showMessage"]
    assert [text.partition(":")[2].partition(":")[0].strip() for text in shown] == [
        "ftc.colour",
        "ftc.gpu",
        "ftc.target",
    ]
    assert editor.stop() == 0


def test_settings_are_asked_for_and_follow_changes(folder: Path) -> None:
    editor = Editor(folder, None, workspace={"configuration": True})
    uri, _, found = opened(editor, FULL)
    assert [item["code"] for item in found] == ["FTC301"]
    editor.configuration = {"gpu": "h200"}
    editor.tell("workspace/didChangeConfiguration", {"settings": None})
    assert editor.diagnostics(uri) == []
    editor.configuration = {"gpu": "t4"}
    editor.tell("workspace/didChangeConfiguration", {"settings": {"ftc": {"gpu": "h200"}}})
    (found,) = editor.diagnostics(uri)
    assert "t4" in found["message"]
    editor.configuration = None
    editor.tell("workspace/didChangeConfiguration", {"settings": None})
    (found,) = editor.diagnostics(uri)
    assert "t4" not in found["message"], "a setting that was taken back"
    assert editor.stop() == 0


def test_a_model_that_only_the_hub_may_know_is_no_error(editor: Editor) -> None:
    _, _, (found,) = opened(editor, RECIPE.replace("llama-3.1-8b-instruct", "someone/private-model"))
    assert (found["code"], found["severity"]) == ("FTC011", 3)
    assert "hub: not asked" in found["message"]


def test_only_the_last_of_many_keystrokes_is_answered(editor: Editor) -> None:
    uri, _, _ = opened(editor, RECIPE)
    for length in range(1, 20):
        editor.change(uri, RECIPE.replace("q_proj", "w" * length))
    (found,) = editor.diagnostics(uri)
    assert "w" * 19 in found["message"]
    told = [
        item["params"]["version"]
        for item in editor.said
        if item.get("method") == "textDocument/publishDiagnostics" and item["params"]["uri"] == uri
    ]
    assert told[-1] == editor.versions[uri]
    assert told == sorted(set(told))


def test_a_data_file_that_comes_later(editor: Editor, folder: Path) -> None:
    text = RECIPE.replace("data/train.jsonl", "data/late.jsonl")
    uri, _, (found,) = opened(editor, text)
    assert found["code"] == "FTC501"
    (folder / "data" / "late.jsonl").write_text(f"{json.dumps(ROW)}\n")
    about = {"uri": (folder / "data" / "late.jsonl").as_uri(), "type": 1}
    editor.tell("workspace/didChangeWatchedFiles", {"changes": [about]})
    assert editor.diagnostics(uri) == []
    (folder / "data" / "late.jsonl").unlink()
    editor.tell("textDocument/didSave", {"textDocument": {"uri": uri}})
    assert [item["code"] for item in editor.diagnostics(uri)] == ["FTC501"]


def test_a_closed_recipe_has_no_findings(editor: Editor) -> None:
    uri, _, _ = opened(editor, FULL)
    editor.close(uri)
    last = editor.wait(lambda item: item.get("method") == "textDocument/publishDiagnostics")
    assert last["params"]["diagnostics"] == []
    assert editor.ask("textDocument/hover", editor.at(uri, (0, 0))) is None


# --- hints and hovers


def hinted(editor: Editor, text: str) -> dict[str, list[str]]:
    """Line → its hints."""
    uri, _, _ = opened(editor, text)
    lines = editor.texts[uri].splitlines()
    return {lines[line].strip(): [item["label"] for item in found] for line, found in editor.hints(uri).items()}


def test_hints_say_what_auto_became_and_how_much_each_section_takes(editor: Editor) -> None:
    found = hinted(editor, RECIPE)
    assert found["attention: auto"] == ["= sdpa"]
    assert found["micro_batch_size: auto"][0].startswith("= ")
    assert found["model:"] == ["weights 15.0 GiB"]
    assert found["hardware: {gpu: rtx-4090}"][0].startswith("fits: ")
    assert found["hardware: {gpu: rtx-4090}"][0].endswith(" of 23.5 GiB")
    assert found["train: {path: data/train.jsonl}"] == ["100 rows"]
    assert found["global_batch_size: 16"][0].count(" x ") == 2


def test_without_a_section_for_the_card_the_method_has_the_whole(editor: Editor) -> None:
    found = hinted(editor, RECIPE.replace("hardware: {gpu: rtx-4090}\n", ""))["method:"]
    assert found[0].startswith("adapters ")
    assert found[1].startswith("about ")


def test_hints_count_steps_where_rows_are_not_packed(editor: Editor) -> None:
    text = RECIPE.replace("max_length: 4096", "max_length: 4096\n  packing: false\n  validation: null")
    found = hinted(editor, text.replace("global_batch_size: 16", "global_batch_size: 16\n  epochs: 3"))
    assert found["epochs: 3"] == ["about 21 steps"]


def test_a_hint_can_be_written_down(editor: Editor) -> None:
    uri, _, _ = opened(editor, RECIPE)
    (hint,) = editor.hints(uri)[4]
    assert edited(RECIPE, hint["textEdits"]) == RECIPE.replace("attention: auto", "attention: sdpa")
    assert "torch" in hint["tooltip"]["value"]


def test_hints_stay_while_a_line_is_half_typed(editor: Editor) -> None:
    uri, _, _ = opened(editor, RECIPE)
    broken = RECIPE.replace("  max_length: 4096\n", "  max_length: 4096\n  system: 'half\n")
    editor.change(uri, broken)
    found = {broken.splitlines()[line]: [item["label"] for item in items] for line, items in editor.hints(uri).items()}
    assert found["  micro_batch_size: auto"][0].startswith("= ")
    assert found["hardware: {gpu: rtx-4090}"][0].startswith("fits")
    assert editor.hover(uri, (15, 3)).startswith("**memory: fits**")


def test_hover_tells_value_reason_and_the_targets_words(editor: Editor) -> None:
    uri, place, _ = opened(editor, RECIPE.replace("micro_batch_size", "micro_<|>batch_size"))
    text = editor.hover(uri, place)
    assert text.startswith("training.micro_batch_size = `")
    assert "| Axolotl | `micro_batch_size` |" in text
    assert "| LLaMA-Factory | `per_device_train_batch_size` |" in text


def test_hover_of_a_section_has_its_memory(editor: Editor) -> None:
    uri, _, _ = opened(editor, RECIPE)
    assert "| activations |" in editor.hover(uri, (11, 2))
    assert "| weights | 15.0 GiB |" in editor.hover(uri, (2, 2))
    whole = editor.hover(uri, (14, 2))
    assert whole.startswith("**memory: fits**")
    assert "| fragmentation |" in whole
    assert "| step |" in whole


def test_hover_of_a_source_without_a_list(editor: Editor) -> None:
    uri, place, _ = opened(editor, RECIPE.replace("{path", "{pa<|>th"))
    assert "`datasets`" in editor.hover(uri, place)


def test_hover_has_the_words_of_the_leaf_where_no_schema_is_beside(editor: Editor, alone: Editor) -> None:
    for one, expected in ((editor, False), (alone, True)):
        uri, place, _ = opened(one, RECIPE.replace("max_length", "max_<|>length"))
        assert ("**data.max_length**" in one.hover(uri, place)) is expected


def test_nothing_is_said_of_comments_and_empty_lines(editor: Editor) -> None:
    uri, place, _ = opened(editor, RECIPE.replace("name: tiny\n", "name: tiny\n# a comm<|>ent\n\n"))
    assert editor.hover(uri, place) == ""
    assert editor.complete(uri, place) == []


# --- completion


def test_files_and_folders_beside_the_recipe(editor: Editor) -> None:
    found = labels(editor, RECIPE.replace("{path: data/train.jsonl}", "{path: <|>}"))
    assert "data/" in found
    assert not any(name.startswith(".hidden") for name in found)
    assert labels(editor, RECIPE.replace("data/train.jsonl", "data/<|>")) == ["data/odd name.csv", "data/train.jsonl"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{path: data/tr<|>}", "{path: data/train.jsonl}"),
        ("{path: 'data/<|>'}", "{path: 'data/train.jsonl'}"),
        ('{path: "data/<|>old.jsonl"}', '{path: "data/train.jsonl"}'),
        ("{path: data/tr<|>ian.jsonl, weight: 1}", "{path: data/train.jsonl, weight: 1}"),
        ("{path:<|>}", "{path: data/train.jsonl}"),
        ("\n    - path: data/<|>", "\n    - path: data/train.jsonl"),
        ("\n    path: data/<|>  # mine", "\n    path: data/train.jsonl  # mine"),
        ("[{path: data/<|>", "[{path: data/train.jsonl"),
    ],
)
def test_a_path_is_completed_wherever_it_stands(editor: Editor, before: str, after: str) -> None:
    marked = RECIPE.replace("{path: data/train.jsonl}", before)
    if before == "{path:<|>}":
        assert "{path: data/}" in accepted(editor, marked, "data/")
        return
    assert accepted(editor, marked, "data/train.jsonl") == RECIPE.replace("{path: data/train.jsonl}", after)


def test_a_name_with_a_space_is_still_one_value(editor: Editor) -> None:
    text = accepted(editor, RECIPE.replace("data/train.jsonl", "data/<|>"), "data/odd name.csv")
    uri = editor.open(text)
    assert not [item for item in editor.diagnostics(uri) if item["code"].startswith("FTC0")]


def test_modules_of_the_base(editor: Editor) -> None:
    found = labels(editor, RECIPE.replace("[q_proj, v_proj]", "[q_proj, <|>]"))
    assert {"v_proj", "gate_proj", "attention", "embed_tokens"} <= set(found)
    assert "q_proj" not in found
    other = RECIPE.replace("llama-3.1-8b-instruct", "phi-3-mini-4k-instruct").replace("[q_proj, v_proj]", "\n    - <|>")
    assert "qkv_proj" in labels(editor, other)
    assert accepted(editor, other, "qkv_proj").count("    - qkv_proj\n") == 1


def test_modules_to_save_and_patterns(editor: Editor) -> None:
    saved = RECIPE.replace("target_modules: [q_proj, v_proj]", "modules_to_save: [<|>]")
    assert {"lm_head", "embed_tokens"} <= set(labels(editor, saved))
    frozen = FULL.replace("kind: full", "kind: full\n  freeze:\n    - <|>")
    assert accepted(editor, frozen, "model.layers.31.*").count("    - model.layers.31.*\n") == 1
    assert '"*mlp*"' in accepted(editor, frozen, "*mlp*")


def test_models_of_the_catalog_and_local_bases(editor: Editor) -> None:
    found = labels(editor, RECIPE.replace("llama-3.1-8b-instruct", "<|>"))
    assert {"llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct", "./base"} <= set(found)
    assert "./tokenizer/" in labels(editor, RECIPE.replace("attention: auto", "tokenizer: ./<|>"))
    assert "./tokenizer" in labels(editor, RECIPE.replace("attention: auto", "tokenizer: ./<|>"))


def test_cards_with_what_the_recipe_needs_on_each(editor: Editor) -> None:
    uri, place, _ = opened(editor, RECIPE.replace("rtx-4090", "<|>"))
    found = {item["label"]: item["detail"] for item in editor.complete(uri, place)}
    assert {"rtx-4090", "h100", "cpu"} <= set(found)
    uri, place, _ = opened(editor, RECIPE.replace("rtx-4090", "rtx<|>-4090"))
    found = {item["label"]: item["detail"] for item in editor.complete(uri, place)}
    assert "does not fit" in found["t4"]
    assert ", fits: about " in found["h200"]


def test_chat_templates_by_name_and_file(editor: Editor) -> None:
    found = labels(editor, RECIPE.replace("attention: auto", "chat_template: <|>"))
    assert {"auto", "tokenizer", "chatml", "chat.jinja"} <= set(found)


def test_columns_of_the_data(editor: Editor) -> None:
    text = RECIPE.replace("{path: data/train.jsonl}", "{path: data/odd name.csv, fields: {prompt: <|>}}")
    assert labels(editor, text) == ["question", "answer"]


def test_completion_while_the_text_is_no_yaml(editor: Editor) -> None:
    uri, _, _ = opened(editor, RECIPE)
    text, place = cursor(RECIPE.replace("[q_proj, v_proj]", "[q_proj, <|>"))
    editor.change(uri, text)
    found = {item["label"]: item for item in editor.complete(uri, place)}
    assert edited(text, [found["up_proj"]["textEdit"]]) == text.replace("[q_proj, ", "[q_proj, up_proj")


def test_keys_and_words_where_no_schema_is_beside(editor: Editor, alone: Editor) -> None:
    marked = RECIPE.replace("  attention: auto\n", "  <|>\n")
    assert labels(editor, marked) == []
    assert {"dtype", "attention", "chat_template"} <= set(labels(alone, marked))
    assert "base" not in labels(alone, marked)
    assert accepted(alone, marked, "dtype") == RECIPE.replace("attention: auto", "dtype: ")
    assert labels(alone, RECIPE.replace("attention: auto", "attention: <|>"))[:2] == ["auto", "sdpa"]
    assert "qlora" in labels(alone, RECIPE.replace("kind: lora", "kind: <|>"))
    assert {"true", "false", "auto"} == set(labels(alone, RECIPE.replace("max_length: 4096", "packing: <|>")))


def test_an_empty_text_begins_with_what_is_required(alone: Editor) -> None:
    assert labels(alone, "<|>")[:5] == ["version", "name", "model", "method", "data"]
    assert labels(alone, "# mine\nversion: 1\nmo<|>")[:2] == ["name", "model"]
    assert accepted(alone, "version: 1\nmo<|>", "model") == "version: 1\nmodel:\n  "


def test_a_word_of_a_list_is_put_in_one(alone: Editor) -> None:
    marked = RECIPE + "logging:\n  to: <|>"
    assert accepted(alone, marked, "wandb") == RECIPE + "logging:\n  to: [wandb]"
    assert accepted(alone, marked.replace("<|>", "[wandb, <|>]"), "mlflow").endswith("to: [wandb, mlflow]")


def test_the_first_key_of_a_method_is_its_kind(alone: Editor) -> None:
    text = RECIPE.replace("  kind: lora\n  target_modules: [q_proj, v_proj]\n", "  <|>\n")
    assert labels(alone, text) == ["kind"]


# --- actions


@pytest.mark.parametrize(
    ("old", "new", "title", "after"),
    [
        ("  kind: lora", "  kind: lora\n  rnak: 8  # eight", "Rename rnak", "  kind: lora\n  rank: 8  # eight"),
        ("kind: lora", "kind: lroa", "Change to lora", "kind: lora"),
        ("q_proj", "q_porj", "Change to q_proj", "q_proj"),
        ("data/train", "data/trian", "Change to data/train.jsonl", "data/train"),
        ("llama-3.1-8b-instruct", "llama-3.1-8b-instrcut", "Change to llama-3.1", "llama-3.1-8b-instruct"),
        ("rtx-4090", "rtx-409", "Change to rtx-4090", "rtx-4090"),
        ("attention: auto", "attention: fa2", "Change to flash_attention_2", "attention: flash_attention_2"),
        ("max_length: 4096", "max_seq_length: 4096", "Rename max_seq_length", "max_length: 4096"),
        ("  kind: lora", "  kind: lora\n  bf16: bfloat16", "Move to model.dtype", None),
        ("max_length: 4096", 'max_length: "4096"', "Change to 4096", "max_length: 4096"),
        ("max_length: 4096", "max_length: 4096\n  learning_rate: 1.0e-4", "Move to training.learning_rate", None),
        (
            "method:\n  kind: lora\n  target_modules: [q_proj, v_proj]",
            "method: lora",
            "Change to {kind",
            "method:\n  kind: lora",
        ),
        ("  kind: lora", "  kind: lora\n  init: loftq", "Set method.kind: qlora", "  kind: qlora\n  init: loftq"),
        ("auto\n  global", "3\n  global", "Change to 18", None),
        ("  kind: lora", "  kind: lora\n  quantization: {bits: 4}", "Remove quantization", "  kind: lora"),
        ("  kind: lora", "  kind: lora\n  init: olora\n  quantization: {bits: 4}", "Set method.kind: qlora", None),
        (
            "{path: data/train.jsonl}",
            "{path: data/odd name.csv}",
            "Set format: prompt_completion, fields: {prompt: question, completion: answer}",
            "{path: data/odd name.csv, format: prompt_completion, fields: {prompt: question, completion: answer}}",
        ),
        (
            "train.jsonl}",
            'train.jsonl, split: "train[:20%]"}',
            "Set split: train, limit: 0.2",
            "train.jsonl, split: train, limit: 0.2}",
        ),
        ("16\n", "16\n  max_steps: 5\n  epochs: 1\n", "Remove max_steps", "16\n  epochs: 1\n"),
    ],
)
def test_an_action_mends_what_was_found(editor: Editor, old: str, new: str, title: str, after: str | None) -> None:
    text = RECIPE.replace(old, new, 1)
    assert text != RECIPE
    found = done(editor, text, title)
    if after is not None:
        assert found == RECIPE.replace(old, after, 1)
    uri = editor.open(found)
    before = {item["message"] for item in opened(editor, text)[2]}
    assert not before & {item["message"] for item in editor.diagnostics(editor.open(found))}
    assert uri


def test_raw_keys_are_renamed_too(folder: Path) -> None:
    editor = Editor(folder, {"target": "axolotl"})
    text = RECIPE + "targets:\n  axolotl:\n    qatt: {weight_dtype: int4}\n"
    assert done(editor, text, "Rename qatt to qat") == text.replace("qatt", "qat")
    assert editor.stop() == 0


def test_every_fix_of_the_plan_is_an_action_after_which_it_fits(editor: Editor) -> None:
    uri, _, about = opened(editor, FULL)
    actions = editor.actions(uri, 13, about)
    assert [item.get("isPreferred") for item in actions] == [True, *[None] * (len(actions) - 1)]
    assert len(actions) >= 3
    for action in actions:
        assert action["title"].startswith("Set ")
        assert " GiB, fits; " in action["title"]
        assert [item["code"] for item in action["diagnostics"]] == ["FTC301"]
    for text in [editor.after(uri, action) for action in actions]:
        assert opened(editor, text)[2] == []


def test_a_fix_keeps_comments_and_makes_what_is_missing(editor: Editor) -> None:
    text = FULL.replace("kind: full", "kind: full  # all of it").replace(
        "{gpu: rtx-4090}", "\n  # mine\n  gpu: rtx-4090"
    )
    found = done(editor, text, "Set hardware.count")
    assert found.startswith(text)
    assert found.removeprefix(text) == "  count: 8\n  strategy: fsdp\n"


def test_an_editor_without_versions_gets_plain_edits(folder: Path) -> None:
    editor = Editor(folder, None, workspace={})
    uri, _, _ = opened(editor, RECIPE.replace("q_proj", "q_porj"))
    (action,) = editor.actions(uri, 7)
    assert edited(editor.texts[uri], action["edit"]["changes"][uri]) == RECIPE
    assert editor.stop() == 0


def test_only_quick_fixes_are_given_where_others_are_asked_for(editor: Editor) -> None:
    uri, _, _ = opened(editor, FULL)
    place = {"line": 13, "character": 0}
    context = {"diagnostics": [], "only": ["refactor"]}
    params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}, "context": context}
    assert editor.ask("textDocument/codeAction", params) == []


# --- links, positions, the process


def test_links(editor: Editor, folder: Path) -> None:
    text = RECIPE.replace("attention: auto", "chat_template: ./chat.jinja\n  tokenizer: ./tokenizer")
    text = text.replace("{path: data/train.jsonl}", "[{path: data/train.jsonl}, {path: tatsu-lab/alpaca}]")
    uri, _, _ = opened(editor, text)
    found = editor.links(uri)
    assert found["data/train.jsonl"] == (folder / "data" / "train.jsonl").as_uri()
    assert found["tatsu-lab/alpaca"] == "https://huggingface.co/datasets/tatsu-lab/alpaca"
    assert found["llama-3.1-8b-instruct"] == "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct"
    assert found["./chat.jinja"] == (folder / "chat.jinja").as_uri()
    assert "./tokenizer" not in found


def test_a_byte_order_mark_moves_nothing(editor: Editor) -> None:
    text = "\ufeff" + FULL
    uri, _, (found,) = opened(editor, text)
    assert cut(text, found["range"]) == "rtx-4090"
    assert done(editor, text, "Set hardware.gpu") == text.replace("rtx-4090", "a100-80gb")
    assert editor.hover(uri, (14 - 1, 3))


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize(
    "name", ["x", "😀é\u0301", "a\tb", "\u2028 \x85 \u2029"], ids=["plain", "wide", "tab", "breaks"]
)
def test_positions_are_those_of_the_editor(editor: Editor, line_break: str, name: str) -> None:
    text = RECIPE.replace("q_proj", f'"{name}", q_porj').replace(
        "max_length", f"system: '{name}' # {name}\n  max_length"
    )
    text = text.replace("\n", line_break)
    _, _, found = opened(editor, text)
    assert {item["code"] for item in found} == {"FTC206"}
    assert cut(text, found[-1]["range"]) == "q_porj"
    assert done(editor, text, "Change to q_proj") == text.replace("q_porj", "q_proj")


def test_other_encodings_of_positions(folder: Path) -> None:
    text = RECIPE.replace("q_proj", '"😀é", q_porj')
    for encoding, start in (("utf-8", 29), ("utf-32", 25), ("utf-16", 26)):
        editor = Editor(folder, None, general={"positionEncodings": [encoding]})
        assert editor.capabilities["positionEncoding"] == encoding
        _, _, found = opened(editor, text)
        assert found[-1]["range"]["start"]["character"] == start
        assert editor.stop() == 0


def test_a_recipe_that_was_never_saved(editor: Editor, folder: Path) -> None:
    uri = "untitled:Untitled-1"
    editor.texts[uri], editor.versions[uri] = RECIPE, 1
    item = {"uri": uri, "languageId": "yaml", "version": 1, "text": RECIPE}
    editor.tell("textDocument/didOpen", {"textDocument": item})
    assert editor.diagnostics(uri) == []
    assert editor.links(uri)["data/train.jsonl"] == (folder / "data" / "train.jsonl").as_uri()


def test_other_yaml_files_are_left_alone(editor: Editor) -> None:
    uri = editor.open("services:\n  model: [\n", "compose.yaml")
    assert editor.diagnostics(uri) == []
    assert editor.ask("textDocument/completion", editor.at(uri, (1, 3))) is None
    editor.change(uri, RECIPE.replace("q_proj", "w_proj"))
    assert [item["code"] for item in editor.diagnostics(uri)] == ["FTC206"]


def test_an_older_version_beside_it_is_left_alone(editor: Editor) -> None:
    """An editor that shows what changed sends both; what lies nowhere has no files beside it."""
    uri = "git:/somewhere/recipe.ftc.yaml?%7B%22ref%22%3A%22HEAD%22%7D"
    editor.texts[uri], editor.versions[uri] = RECIPE.replace("q_proj", "w_proj"), 1
    item = {"uri": uri, "languageId": "yaml", "version": 1, "text": editor.texts[uri]}
    editor.tell("textDocument/didOpen", {"textDocument": item})
    assert editor.diagnostics(uri) == []


def test_it_starts_without_torch_and_asks_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hub:
        hub.setblocking(False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        editor = Editor(folder)
        uri, _, _ = opened(editor, FULL.replace("llama-3.1-8b-instruct", "nobody/nothing"))
        editor.hover(uri, (3, 4))
        editor.complete(uri, (3, 8))
        editor.links(uri)
        maps = Path(f"/proc/{editor.process.pid}/maps")
        loaded = maps.read_text() if maps.exists() else ""
        assert editor.stop() == 0
        with pytest.raises(BlockingIOError):
            hub.accept()
    assert "torch" not in loaded
    assert "transformers" not in loaded


def test_without_its_packages_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pygls.py").write_text("raise ModuleNotFoundError('no', name='pygls')")
    done = ftc("lsp", env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})
    assert done.returncode == 4
    assert "pip install 'ftc[lsp]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_editor_that_vanishes_ends_it(folder: Path) -> None:
    editor = Editor(folder)
    assert editor.process.stdin
    editor.process.stdin.close()
    assert editor.process.wait(60) in (0, 1)
    assert b"Traceback" not in b"".join(editor.errors)
