"""`ftc schema` writes files beside recipes, and touches nothing that somebody else made."""

from __future__ import annotations

import json
import stat
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compiler.cli import main
from compiler.editor_files import BESIDE, add_lines, comment_lines, with_lines, write_schema
from compiler.errors import FtcError

EDITORS = Path(__file__).parents[1] / "editors"
RECIPE = """\
version: 1
name: example
model: {base: llama-3.1-8b}
method: {kind: lora}
data: {train: {path: data/train.jsonl}}
"""
LINES = ("# yaml-language-server: $schema=./.ftc/recipe.schema.json", "# $schema: ./.ftc/recipe.schema.json")


def ftc(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "x.ftc.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_it_is_printed(tmp_path: Path) -> None:
    done = ftc("schema")
    assert done.exit_code == 0
    assert done.stdout.count("\n") > 1000
    out = tmp_path / "schemas" / "ftc.json"
    assert ftc("schema", "--out", out).exit_code == 0
    assert out.read_text(encoding="utf-8") == done.stdout


def test_a_written_schema_says_what_to_put_into_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = ftc("schema", "--out", BESIDE).stdout.splitlines()
    assert said[-2:] == list(LINES)


def test_a_recipe_gets_the_schema_and_both_lines(recipe: Path) -> None:
    assert ftc("schema", recipe).exit_code == 0
    assert recipe.read_text(encoding="utf-8") == "\n".join(LINES) + "\n" + RECIPE
    assert json.loads((recipe.parent / BESIDE).read_text(encoding="utf-8"))["title"] == "recipe"
    before = recipe.stat().st_mtime_ns, (recipe.parent / BESIDE).stat().st_mtime_ns
    again = ftc("schema", recipe)
    assert again.exit_code == 0
    assert (recipe.stat().st_mtime_ns, (recipe.parent / BESIDE).stat().st_mtime_ns) == before


def test_a_bound_recipe_still_validates(recipe: Path) -> None:
    (recipe.parent / "data").mkdir()
    (recipe.parent / "data" / "train.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    assert ftc("schema", recipe).exit_code == 0
    assert ftc("validate", recipe).exit_code == 0


@pytest.mark.parametrize(
    "there",
    [
        "{}",
        "not JSON",
        '{"title": "recipe", "$comment": "Written by ftc 9. sha256:0"}',
        json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "title": "recipe"}),
    ],
)
def test_another_file_is_never_replaced(tmp_path: Path, recipe: Path, there: str) -> None:
    out = tmp_path / BESIDE
    out.parent.mkdir()
    out.write_text(there, encoding="utf-8")
    for arguments in (("schema", "--out", out), ("schema", recipe)):
        done = ftc(*arguments)
        assert done.exit_code == 2
        assert "move this one away" in done.stderr
    assert out.read_text(encoding="utf-8") == there
    assert recipe.read_text(encoding="utf-8") == RECIPE


def test_a_schema_that_somebody_changed_stays(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    write_schema(out)
    changed = out.read_text(encoding="utf-8").replace('"description": "The base model."', '"description": "Mine."', 1)
    out.write_text(changed, encoding="utf-8")
    with pytest.raises(FtcError):
        write_schema(out)
    assert out.read_text(encoding="utf-8") == changed


def test_a_schema_of_another_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.json"
    monkeypatch.setattr("compiler.editor_files.VERSION", "0.0.1")
    monkeypatch.setattr("schemas.json_schema.recipe_schema", lambda: {"$schema": "x", "title": "of old"})
    assert write_schema(out)
    monkeypatch.undo()
    assert write_schema(out)
    assert "of old" not in out.read_text(encoding="utf-8")
    assert not write_schema(out)


def test_nothing_is_left_behind(recipe: Path) -> None:
    ftc("schema", recipe)
    assert sorted(path.name for path in recipe.parent.iterdir()) == [".ftc", "x.ftc.yaml"]
    assert [path.name for path in (recipe.parent / ".ftc").iterdir()] == ["recipe.schema.json"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\n", f"{LINES[0]}\n{LINES[1]}\na: 1\n"),
        ("a: 1\r\nb: 2\n", f"{LINES[0]}\r\n{LINES[1]}\r\na: 1\r\nb: 2\n"),
        ("\ufeffa: 1", f"\ufeff{LINES[0]}\n{LINES[1]}\na: 1"),
        ("", f"{LINES[0]}\n{LINES[1]}\n"),
        (f"{LINES[0]}\na: 1\n", f"{LINES[1]}\n{LINES[0]}\na: 1\n"),
        (f"# mine\r\n{LINES[1]}\r\na: 1\n", f"{LINES[0]}\r\n# mine\r\n{LINES[1]}\r\na: 1\n"),
        ("# yaml-language-server: $schema=other.json\na: 1\n", ""),
        ("#yaml-language-server:  $schema=other.json\na: 1\n", ""),
        ("# $schema: other.json\na: 1\n", ""),
        ("$schema: other.json\na: 1\n", ""),
        ('"$schema": other.json\na: 1\n', ""),
        ("a: 1 # $schema\n", f"{LINES[0]}\n{LINES[1]}\na: 1 # $schema\n"),
        ("%YAML 1.2\n---\na: 1\n", f"{LINES[0]}\n{LINES[1]}\n%YAML 1.2\n---\na: 1\n"),
    ],
)
def test_every_other_byte_stays(before: str, after: str) -> None:
    """Where `after` is empty a schema is named already, and nothing is put in front."""
    found = with_lines(before.encode(), LINES).decode()
    assert found == (after or before)
    assert with_lines(found.encode(), LINES).decode() == found


def test_a_recipe_that_is_not_utf_8_stays(recipe: Path) -> None:
    recipe.write_bytes("name: größe\n".encode("latin-1"))
    done = ftc("schema", recipe)
    assert done.exit_code == 2
    assert "not UTF-8" in done.stderr
    assert recipe.read_bytes() == "name: größe\n".encode("latin-1")


def test_permissions_and_links_stay(tmp_path: Path, recipe: Path) -> None:
    recipe.chmod(0o640)
    link = tmp_path / "link.ftc.yaml"
    link.symlink_to(recipe)
    assert add_lines(link, tmp_path / BESIDE)
    assert link.is_symlink()
    assert stat.S_IMODE(recipe.stat().st_mode) == 0o640
    assert recipe.read_text(encoding="utf-8").endswith(RECIPE)


def test_the_schema_is_named_as_seen_from_the_recipe(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "x.ftc.yaml"
    assert comment_lines(inner, tmp_path / "s.json")[1] == "# $schema: ../s.json"
    assert comment_lines(inner, tmp_path / "a" / "my schema.json")[1] == "# $schema: ./my%20schema.json"
    assert comment_lines(tmp_path / "x.yaml", tmp_path / BESIDE) == LINES


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = ftc("schema", "--out", tmp_path / "file" / "x.json")
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr
    assert ftc("schema", tmp_path / "absent.ftc.yaml").exit_code == 2
    assert not (tmp_path / ".ftc").exists()


def test_the_schemastore_entry_is_one() -> None:
    """As SchemaStore's own schema of its catalog wants an entry; it points to what `ftc schema` prints."""
    entry = json.loads((EDITORS / "schemastore.json").read_text(encoding="utf-8"))
    assert set(entry) == {"name", "description", "fileMatch", "url"}
    assert entry["url"].startswith("https://www.schemastore.org/")
    assert entry["url"].endswith(".json")
    assert "schema" not in entry["name"] + entry["description"]
    assert (EDITORS / "recipe.schema.json").read_text(encoding="utf-8") == ftc("schema").stdout
    ours = [path.name for path in (EDITORS.parent / "recipes").rglob("*.ftc.yaml")]
    assert all(
        any(fnmatch(name, pattern) for pattern in entry["fileMatch"]) for name in [*ours, "ftc.yaml", "a.ftc.yml"]
    )
    assert not any(fnmatch(name, pattern) for pattern in entry["fileMatch"] for name in ("recipe.yaml", "ftc.json"))
