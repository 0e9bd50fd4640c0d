"""docs/editors.md: what it tells people to write into their editors' settings can be read, and the server takes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tomllib
from calls import ROOT

from compiler.build import Options, compile_recipe
from compiler.lsp.settings import NAMES, read_settings

PAGE = (ROOT / "docs" / "editors.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^## (\w[^\n]*)|^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MANIFEST = json.loads((ROOT / "editors" / "vscode" / "package.json").read_text(encoding="utf-8"))


def snippets(language: str) -> list[tuple[str, str]]:
    """Heading and text of each."""
    found, heading = [], ""
    for title, kind, text in SNIPPETS:
        heading = title or heading
        if kind == language:
            found.append((heading, text))
    return found


@pytest.mark.parametrize(("editor", "text"), snippets("json"), ids=lambda value: value[:12])
def test_json(editor: str, text: str) -> None:
    read = json.loads(text)
    assert read
    if editor == "VS Code":
        known = MANIFEST["contributes"]["configuration"]["properties"]
        assert all(name in known or name == "yaml.schemas" for name in read)
    elif editor == "JetBrains":
        assert read_settings(read)[1] == ()


@pytest.mark.parametrize(("editor", "text"), snippets("toml"), ids=lambda value: value[:12])
def test_toml(editor: str, text: str) -> None:
    read: dict[str, Any] = tomllib.loads(text)
    assert editor == "Helix"
    server = read.get("language-server", {}).get("ftc")
    if server:
        assert [server["command"], *server["args"]] == ["ftc", "lsp"]
        assert read_settings(server["config"])[1] == ()
        assert "ftc" in read["language"][0]["language-servers"]


def test_lua() -> None:
    ((editor, text),) = snippets("lua")
    assert editor == "Neovim"
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")
    assert len(re.findall(r"\b(function|if)\b", text)) == len(re.findall(r"\bend\b", text))
    pattern = re.search(r"name:match\('(.*?)'\)", text)
    assert pattern
    assert pattern[1] == r"%.ftc%.ya?ml$"


def test_the_recipe_is_one(tmp_path: Path) -> None:
    ((_, text),) = snippets("yaml")
    (tmp_path / "data").mkdir()
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "data" / "train.jsonl").write_text(json.dumps(row) + "\n")
    assert compile_recipe("r", text, tmp_path, Options(online=False)).diagnostics == ()


def test_every_setting_is_documented() -> None:
    for name in NAMES[:3]:
        assert f"| `{name}` |" in PAGE
        assert f"ftc.{name}" in MANIFEST["contributes"]["configuration"]["properties"]


def test_every_editor_has_the_schema_for_both_endings() -> None:
    places = [text for language in ("json", "toml", "lua") for _, text in snippets(language) if "schemas" in text]
    assert len(places) == 4
    assert all("*.ftc.yaml" in text and "*.ftc.yml" in text for text in places)
