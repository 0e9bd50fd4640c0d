"""What editors read beside a recipe: the schema in a file, and the comments at a recipe's top that name it.

A schema of ours carries a digest of itself, so that one that somebody changed, or another file, is never replaced.
A recipe gets the lines that it lacks and keeps every other byte.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.report.machine import as_json
from schemas.version import VERSION

BESIDE: Final = Path(".ftc", "recipe.schema.json")
"""Where the schema lies, seen from the folder of a recipe."""

_MARK: Final = "$comment"
_NAMES: Final = re.compile(
    rb"^[ \t]*#[ \t]*(?:yaml-language-server[ \t]*:.*\$schema=|\$schema[ \t]*:).*$", re.MULTILINE
)
_KEY: Final = re.compile(rb"^[\"']?\$schema[\"']?[ \t]*:", re.MULTILINE)
_BOM: Final = b"\xef\xbb\xbf"


def schema_text() -> str:
    """What `ftc schema` prints; `$comment` says which ftc wrote it, and the digest of all else."""
    from schemas.json_schema import recipe_schema  # built only where it is asked for

    schema = recipe_schema()
    return as_json({"$schema": schema["$schema"], _MARK: _mark(schema), **schema})


def write_schema(path: Path) -> bool:
    """Write the schema, whole or not at all; whether anything changed.

    `FtcError` (usage) where something lies there that is not a schema which ftc wrote, or that was changed since.
    """
    text = schema_text()
    try:
        before = path.read_bytes() if path.exists() or path.is_symlink() else None
        if before == text.encode():
            return False
        if before is not None and not _is_ours(before):
            raise FtcError(
                f'"{path}" is not a schema that ftc wrote, or was changed since',
                "name another file with --out, or move this one away",
                USAGE,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, text.encode())
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def comment_lines(recipe: Path, schema: Path) -> tuple[str, str]:
    """The two comments that editors read: yaml-language-server's (VS Code, Neovim, Helix, Zed), and JetBrains' own.

    The schema is named as seen from the recipe's folder; neither file has to exist.
    """
    place = _seen_from(recipe.resolve().parent, schema.resolve())
    return f"# yaml-language-server: $schema={place}", f"# $schema: {place}"


def add_lines(recipe: Path, schema: Path) -> bool:
    """Put the comments that a recipe lacks at its top; whether there were any. One that names another schema already,
    by a comment or by a `$schema` key, is left as it is.
    """
    try:
        path = recipe.resolve(strict=True)
        before = path.read_bytes()
        before.decode("utf-8")
        after = with_lines(before, comment_lines(recipe, schema))
        if after == before:
            return False
        _write_whole(path, after)
    except UnicodeDecodeError as error:
        raise FtcError(f'"{recipe}" is not UTF-8', "save it as UTF-8", USAGE) from error
    except OSError as error:
        raise _unwritable(recipe, error) from error
    return True


def with_lines(text: bytes, lines: tuple[str, str]) -> bytes:
    """A recipe's bytes with the comments that it lacks, ended as its own first line is."""
    mark, body = (_BOM, text[len(_BOM) :]) if text.startswith(_BOM) else (b"", text)
    there = {found.decode(errors="replace").strip() for found in _NAMES.findall(body)}
    if there - {*lines} or _KEY.search(body):
        return text
    missing = [line for line in lines if line not in there]
    end = b"\r\n" if body.partition(b"\n")[0].endswith(b"\r") else b"\n"
    return mark + b"".join(line.encode() + end for line in missing) + body


def _mark(schema: Mapping[str, object]) -> str:
    return f"Written by ftc {VERSION}. sha256:{_digest(schema)}"


def _digest(schema: Mapping[str, object]) -> str:
    return sha256(as_json({key: value for key, value in schema.items() if key != _MARK}).encode()).hexdigest()


def _is_ours(before: bytes) -> bool:
    """Whether it says what some version of ftc wrote."""
    try:
        found = json.loads(before)
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    schema = cast("dict[str, object]", found)
    mark = re.fullmatch(r"Written by ftc \S+ sha256:([0-9a-f]{64})", str(schema.get(_MARK)))
    return mark is not None and mark[1] == _digest(schema)


def _seen_from(folder: Path, schema: Path) -> str:
    """A relative path with `/`, escaped where a space would end it; the address of a file on another drive."""
    try:
        place = os.path.relpath(schema, folder).replace(os.sep, "/")
    except ValueError:
        return schema.as_uri()
    return quote(place if place.startswith("../") else f"./{place}", safe="/.@+~-_")


def _write_whole(path: Path, content: bytes) -> None:
    """Write aside, then rename; a file that was there keeps its permissions."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> FtcError:
    return FtcError(f'"{path}" cannot be written: {error.strerror or error}', exit_code=USAGE)
