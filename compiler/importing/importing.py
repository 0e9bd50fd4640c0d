"""Another tool's config → a recipe that compiles, and what became of every key.

The recipe is compiled before it is handed out. A finding at a leaf that the config says is one at the config's line; a
default of the tool's that does not go with the rest gives way to ftc's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, cast

from msgspec import Struct

from backends.reading import Kind, Leaf, Left, Reading
from compiler.build import Compiled, Options, compile_recipe
from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.importing.places import Places, dataset_info, moved, with_deepspeed
from compiler.importing.tools import TITLES, Tool, is_recipe, recognise
from compiler.importing.writing import kept, recipe_text, slug
from compiler.locate import locate
from compiler.models import find_model
from compiler.refusals import LOSSY
from compiler.source import Source, parse
from schemas.artifact import Target
from schemas.diagnostic import Diagnostic, Finding, Span
from schemas.facts import ModelFacts

CODES: Final[dict[Kind, str]] = {"refused": "FTC420", "lost": "FTC421", "differs": "FTC422", "idle": "FTC423"}
ABSENT: Final = frozenset(("FTC011", "FTC238", "FTC501", "FTC502"))
"""What is not on this machine: it says nothing against the recipe."""
PLACEHOLDER: Final = "data/train.jsonl"


class Asked(Struct, frozen=True):
    """What the command line adds to a config. `folder`: where the recipe will stand."""

    folder: Path
    tool: Tool | None = None
    name: str | None = None
    count: int | None = None
    info: Path | None = None
    data: str | None = None


class Remark(Struct, frozen=True):
    """What became of a key, at its place. `idle` is a note, `refused` an error, the others are warnings."""

    level: Literal["error", "warning", "note"]
    code: str
    key: str
    message: str
    span: Span
    hint: str | None = None


class Imported(Struct, frozen=True):
    """`text`: the recipe; None where the config is refused. `files`: what must stand beside it. `compiled`: what became
    of the recipe."""

    tool: Tool
    text: str | None
    files: dict[str, str]
    remarks: tuple[Remark, ...]
    reading: Reading
    compiled: Compiled | None

    @property
    def whole(self) -> bool:
        """Whether nothing is lost or otherwise; what is not on this machine says nothing against it."""
        return self.text is not None and all(item.level == "note" or item.code in ABSENT for item in self.remarks)


def import_config(file: str, text: str, asked: Asked) -> Imported | tuple[Diagnostic, ...]:
    """Read a config; the findings where its text is no YAML mapping. `FtcError` where its tool is not clear."""
    source = parse(text, file)
    wrong = tuple(item for item in source.diagnostics if item.level == "error")
    if source.data is None or wrong:
        return wrong
    tool = asked.tool or _recognised(source.data, file)
    places = Places(Path(file).absolute().parent, asked.folder)
    reading, places = _read(tool, source.data, places, asked)
    remarks = [_remark(item, source, tool) for item in reading.left]
    if any(item.level == "error" for item in remarks):
        return Imported(tool, None, {}, _sorted(remarks), reading, None)
    name = asked.name or slug(Path(file).stem)
    return _written(_Read(source, tool, reading, places), name, remarks)


def _recognised(config: Mapping[str, object], file: str) -> Tool:
    if is_recipe(config):
        raise FtcError(f"{file} is a recipe of ftc already", "ftc validate checks it", USAGE)
    found = recognise(config)
    if found is None:
        hint = f"say it with --from {'|'.join(TITLES)}"
        raise FtcError(f"which tool {file} is for cannot be told by its keys", hint, USAGE)
    return found


def _read(tool: Tool, config: Mapping[str, object], places: Places, asked: Asked) -> tuple[Reading, Places]:
    if tool == "axolotl":
        from backends.axolotl.reading import read

        return read(with_deepspeed(config, places), asked.count), places
    if tool == "llamafactory":
        from backends.llamafactory.reading import read as read_factory

        info, folder = dataset_info(config, places, asked.info)
        listed = cast("Mapping[str, object]", info) if isinstance(info, dict) else None
        config = with_deepspeed(config, places)
        facts = _facts(config.get("model_name_or_path"), places)
        return read_factory(config, listed, facts, asked.count), Places(places.config, places.recipe, folder)
    if tool == "unsloth":
        from backends.unsloth.reading import read as read_unsloth

        return read_unsloth(config), places
    from backends.peft_reading import read as read_peft

    return read_peft(config, asked.data or PLACEHOLDER), places


def _facts(base: object, places: Places) -> ModelFacts | None:
    found = find_model(base, places.config) if isinstance(base, str) and base else None
    return found if isinstance(found, ModelFacts) else None


class _Read(Struct, frozen=True):
    """A config that was read, and where it stood."""

    source: Source
    tool: Tool
    reading: Reading
    places: Places


def _written(read: _Read, name: str, remarks: list[Remark]) -> Imported:
    """The text, once it compiles; what is wrong with it at the config's lines."""
    source, tool, reading = read.source, read.tool, read.reading
    leaves = kept(moved(reading.leaves, read.places))
    text, compiled = _compiled(read, name, leaves)
    while given_up := {path for item in compiled.diagnostics if (path := _default_at(item, leaves))}:
        leaves = {path: leaf for path, leaf in leaves.items() if path not in given_up}
        text, compiled = _compiled(read, name, leaves)
    about = [_of_recipe(item, leaves, source, tool) for item in compiled.diagnostics]
    remarks = [*remarks, *(item for item in about if item)]
    if any(item.level == "error" for item in remarks):
        return Imported(tool, None, {}, _sorted(remarks), reading, compiled)
    return Imported(tool, text, reading.files, _sorted(remarks), reading, compiled)


def _compiled(read: _Read, name: str, leaves: Mapping[str, Leaf]) -> tuple[str, Compiled]:
    """The text, and what the compiler says of it; files that will stand beside it are there for that long."""
    options, files = Options(target=target_of(read.tool)), read.reading.files
    text = recipe_text(name, leaves, TITLES[read.tool], Path(read.source.file).name)
    if not files:
        return text, compile_recipe("recipe", text, read.places.recipe, options)
    with TemporaryDirectory(prefix="ftc-import-") as aside:
        for file, content in files.items():
            (Path(aside) / file).write_text(content, encoding="utf-8")
        there = {path: Leaf(_aside(leaf.value, aside), leaf.keys) for path, leaf in leaves.items()}
        tried = recipe_text(name, there, TITLES[read.tool], Path(read.source.file).name)
        return text, compile_recipe("recipe", tried, read.places.recipe, options)


def _aside(value: object, folder: str) -> object:
    return f"{folder}/chat_template.jinja" if value == "./chat_template.jinja" else value


def _default_at(found: Diagnostic, leaves: Mapping[str, Leaf]) -> str | None:
    """The leaf of an error, where it is no more than the tool's default."""
    if found.level != "error" or found.code in (*ABSENT, *LOSSY):
        return None
    leaf = leaves.get(found.path)
    return found.path if leaf and not leaf.keys and found.path not in ("data.train", "method.kind") else None


def _of_recipe(found: Diagnostic, leaves: Mapping[str, Leaf], source: Source, tool: Tool) -> Remark | None:
    """A finding about the recipe, at the key that its leaf came from. Warnings of the recipe are for `ftc validate`."""
    if found.level != "error":
        return None
    path = next((item for item in _upwards(found.path) if item in leaves and leaves[item].keys), "")
    keys: tuple[str, ...] = leaves[path].keys if path else ()
    if found.path.startswith("data.") and not keys:
        keys = ("datasets", "dataset", "data")
    key = next((item for item in keys if _place(source, item, tool)), (keys or ("",))[0] if path else "")
    # What the tool cannot do of the recipe says that it is not the tool's config any more; other targets may take it.
    level = "warning" if found.code in (*ABSENT, *LOSSY) else "error"
    return Remark(level, found.code, key, found.message, _span(source, key, tool), found.hint)


def _upwards(path: str) -> list[str]:
    found = [path]
    while "." in path or "[" in path:
        path = path[: max(path.rfind("."), path.rfind("["))]
        found.append(path)
    return found


def _remark(item: Left, source: Source, tool: Tool) -> Remark:
    level = {"refused": "error", "idle": "note"}.get(item.kind, "warning")
    key = _as_written(item.key, source, tool)
    message = f"{key}: {item.why}" if key else item.why
    kind = cast("Literal['error', 'warning', 'note']", level)
    return Remark(kind, CODES[item.kind], key, message, _span(source, item.key, tool), item.hint)


def _as_written(key: str, source: Source, tool: Tool) -> str:
    """The key by the older name that the config has for it."""
    if tool != "axolotl" or source.data is None:
        return key
    from backends.axolotl.reading import renamed

    top = key.partition(".")[0].partition("[")[0]
    return renamed(source.data).get(top, top) + key[len(top) :]


def _place(source: Source, key: str, tool: Tool) -> bool:
    return source.place(_as_written(key, source, tool)) is not None


def _span(source: Source, key: str, tool: Tool) -> Span:
    finding = Finding("FTC420", _as_written(key, source, tool), "", at="key")
    return locate(finding, source).span


def _sorted(remarks: list[Remark]) -> tuple[Remark, ...]:
    return tuple(sorted(remarks, key=lambda item: (item.span.line, item.span.column, item.code)))


def target_of(tool: Tool) -> Target:
    """The target of ftc that stands for this tool."""
    return "native" if tool == "peft" else tool
