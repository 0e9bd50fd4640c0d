"""The script as a notebook that runs elsewhere, on Colab for one: its own cells, made of the same template, and before
them the packages, ftc's files and the data, which nothing of this machine follows to there."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from backends.release import Release
from backends.unsloth.script import SCRIPT, TOOL, literal, render
from schemas.artifact import Artifact
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.method_plan import FullPlan
from schemas.plan import Plan
from schemas.version import VERSION

HERE: Final = "Path.cwd()"
"""Where the files of a notebook lie: it has no file of its own that Python knows of."""
OUTPUT: Final = "outputs"
SECTION: Final = re.compile(r"^# --- (.+)\n+", re.MULTILINE)
BEGINS: Final = ("RESUME = ", "result = ")
"""Lines before which the training is cut once more, so that a cell trains and another one saves."""
COLAB_CARDS: Final = {"t4": "T4", "l4": "L4", "a100-40gb": "A100", "a100-80gb": "A100", "h100": "H100"}
"""Cards that Colab has, and what it calls them."""
HIDDEN: Final[dict[str, object]] = {"jupyter": {"source_hidden": True}, "cellView": "form"}
"""Closed until somebody wants to read it, in Jupyter and in Colab."""


class DataFile(Struct, frozen=True):
    """A file of rows. `name`: where the notebook has it; `origin`: what it is called here. `text` is None for one that
    is too large, or no text, so that it has to be brought there."""

    name: str
    origin: str
    size: int
    sha256: str
    text: str | None


class Cell(Struct, frozen=True):
    """`text` is Markdown or Python; `magic`: a first line that Jupyter alone understands. `name`: names it, and is told
    to nobody."""

    name: str
    text: str
    code: bool = True
    magic: str = ""
    hidden: bool = False


def notebook(
    plan: Plan,
    artifact: Artifact,
    data: Sequence[DataFile],
    footprint: Footprint | None,
    release: Release | None = None,
) -> str:
    """The notebook's JSON. `plan`: with the places of data and results as they are there; `artifact`: the script's own,
    whose files are taken along."""
    plan = replace(plan, output=replace(plan.output, dir=f"{OUTPUT}/{plan.name}"))
    script = render(plan, "", TOOL.at(release), release, here=HERE)
    cells = [
        _introduction(plan, artifact, footprint),
        *_packages(artifact.files),
        *_files(artifact.files),
        *_data(data),
        *_script(script),
        *_result(plan),
    ]
    return json.dumps(_document(plan, cells), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _document(plan: Plan, cells: Sequence[Cell]) -> dict[str, object]:
    card = COLAB_CARDS.get(plan.hardware.gpu or "")
    colab: dict[str, object] = {"gpuType": card} if card else {}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "accelerator": "GPU",
            "colab": colab,
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "cells": [_cell(cell) for cell in cells],
    }


def _cell(cell: Cell) -> dict[str, object]:
    text = f"{cell.magic}\n{cell.text}" if cell.magic else cell.text
    common: dict[str, object] = {
        "id": cell.name,
        "metadata": HIDDEN if cell.hidden else {},
        "source": text.rstrip("\n").splitlines(keepends=True),
    }
    if not cell.code:
        return {**common, "cell_type": "markdown"}
    ast.parse("" if cell.magic else cell.text)
    return {**common, "cell_type": "code", "execution_count": None, "outputs": []}


def _introduction(plan: Plan, artifact: Artifact, footprint: Footprint | None) -> Cell:
    """What it is, where it runs, and what of the recipe it does not do."""
    head = [line.removeprefix("#").strip() for line in artifact.files[SCRIPT].splitlines() if line.startswith("#")]
    at = next((at for at, line in enumerate(head) if line.startswith(("NOT EQUIVALENT", "What Unsloth does"))), None)
    end = next((at for at, line in enumerate(head) if line.startswith("ruff: noqa")), len(head))
    lost = "".join(f"{_plain(line)}  \n" for line in head[at:end]) if at is not None else ""
    gpu = plan.gpu.title if plan.gpu else "a GPU"
    need = f", which needs about {footprint.device / GIB:.1f} GiB of its memory" if footprint else ""
    base = _plain(plan.model.base)
    return Cell(
        "introduction",
        f"# {_plain(plan.name)}\n\n"
        f"`{plan.method.kind}` of `{base}` with Unsloth, for {gpu}{need}. Written by ftc {VERSION} from the recipe "
        f"`{_plain(plan.name)}`: change the recipe rather than this notebook.\n\n"
        "On Colab: open it there (File, Upload notebook), choose the card under Runtime, Change runtime type, and take "
        "Runtime, Run all. What is trained is lost when Colab ends the machine: the last cell downloads it.\n\n"
        f"If `{base}` asks you to accept a licence, do so on its page, and give the notebook a token of yours as the "
        "secret `HF_TOKEN` (the key at Colab's left edge). It is not written into the notebook.\n"
        + (f"\n{lost}" if lost else ""),
        code=False,
    )


def _packages(files: Mapping[str, str]) -> Iterator[Cell]:
    yield Cell(
        "about-packages",
        "## Packages\n\nIn the versions that ftc is tested with. If Colab asks for a restart after this, do it, and "
        "run all again.\n",
        code=False,
    )
    yield Cell("requirements", files["requirements.txt"], magic="%%writefile requirements.txt")
    yield Cell("install", "", magic="%pip install -q -r requirements.txt")


def _files(files: Mapping[str, str]) -> Iterator[Cell]:
    """What the script imports and reads, each file as it stands beside it."""
    names = [name for name in files if name.endswith((".py", ".jinja")) and name != SCRIPT]
    yield Cell(
        "about-files",
        f"## Files of ftc\n\n{len(names)} small files that read the rows and say which tokens are trained, the same as "
        "for every other tool that ftc writes for. Nothing has to be changed in them.\n",
        code=False,
    )
    for name in names:
        yield Cell(f"file-{_word(name)}", files[name], magic=f"%%writefile {name}", hidden=True)


def _data(data: Sequence[DataFile]) -> Iterator[Cell]:
    if not data:
        yield Cell("about-data", "## Data\n\nThe rows are on the hub, and fetched by the run.\n", code=False)
        return
    folders = sorted({str(PurePosixPath(item.name).parent) for item in data})
    here = [item for item in data if item.text is not None]
    brought = [item for item in data if item.text is None]
    yield Cell("about-data", _about(here, brought), code=False)
    made = "\n".join(f"Path({literal(folder)}).mkdir(parents=True, exist_ok=True)" for folder in folders)
    yield Cell("folders", f"from pathlib import Path\n\n{made}\n")
    for number, item in enumerate(here, 1):
        yield Cell(f"data-{number}", item.text or "", magic=f"%%writefile {item.name}", hidden=True)
    if brought:
        files = "".join(
            f"    {literal(item.name)}: ({literal(item.origin)}, {literal(item.sha256)}),\n" for item in brought
        )
        yield Cell("upload", UPLOAD.replace("FILES\n", files))


def _about(here: Sequence[DataFile], brought: Sequence[DataFile]) -> str:
    parts = ["## Data\n"]
    if here:
        listed = ", ".join(f"`{_plain(item.origin)}` as `{item.name}`" for item in here)
        parts.append(f"Of the recipe's rows these are in this notebook: {listed}.\n")
    if brought:
        listed = "".join(
            f"- `{_plain(item.origin)}` ({item.size / (1 << 20):,.1f} MiB) as `{item.name}`\n" for item in brought
        )
        parts.append(
            f"These are too large to be in a notebook, or no text:\n\n{listed}\nOn Colab the cell below asks for each: "
            "choose the file on your machine. Large ones are faster from Google Drive: mount it (the folder at the "
            "left edge), and copy them to these places with `!cp`. The cell goes on when all are there and are those "
            "that the recipe was planned with.\n"
        )
    return "\n".join(parts)


UPLOAD: Final = '''\
import hashlib

BROUGHT = {
FILES
}


def is_here(name, digest):
    """Whether the file is there, and is the one that the recipe was planned with."""
    if not Path(name).is_file():
        return False
    content = hashlib.sha256()
    with open(name, "rb") as stream:
        while block := stream.read(1 << 20):
            content.update(block)
    if content.hexdigest() != digest:
        raise ValueError(f"{name} is another file than the recipe was planned with")
    return True


for name, (origin, digest) in BROUGHT.items():
    if not is_here(name, digest):
        try:
            from google.colab import files
        except ImportError:
            raise FileNotFoundError(f"copy {origin} to {name}, and run this cell again") from None
        print(f"choose {origin}")
        for uploaded, content in files.upload().items():
            Path(uploaded).unlink(missing_ok=True)
            Path(name).write_bytes(content)
        if not is_here(name, digest):
            raise FileNotFoundError(f"{origin} was not uploaded; run this cell again")
'''


def _script(script: str) -> Iterator[Cell]:
    """The script under its own headings."""
    pieces = SECTION.split(script)
    titles = ["the settings", *pieces[1::2]]
    for title, piece in zip(titles, pieces[::2], strict=True):
        yield Cell(f"about-{_word(title)}", f"## {title[:1].upper()}{title[1:]}\n", code=False)
        for number, text in enumerate(_parts(piece.strip("\n") + "\n"), 1):
            yield Cell(f"{_word(title)}-{number}", text)


def _parts(text: str) -> Iterator[str]:
    """A section, cut where what was prepared begins to run."""
    lines = text.splitlines(keepends=True)
    cuts = [at for at, line in enumerate(lines) if line.startswith(BEGINS)]
    for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        if part := "".join(lines[start:end]).strip("\n"):
            yield part + "\n"


def _result(plan: Plan) -> Iterator[Cell]:
    what = "model" if isinstance(plan.method, FullPlan) else "adapter"
    yield Cell(
        "about-download",
        f"## The {what}, taken home\n\nAs a zip file; on Colab it is downloaded, elsewhere it lies beside the "
        "notebook.\n",
        code=False,
    )
    yield Cell("download", DOWNLOAD.replace("NAME", literal(f"{plan.name}-{what}")))


DOWNLOAD: Final = """\
import shutil

archive = shutil.make_archive(NAME, "zip", result)
try:
    from google.colab import files
except ImportError:
    print(f"written to {archive}")
else:
    files.download(archive)
"""


def _word(text: str) -> str:
    """A text as part of a cell's name, which holds letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "cell"


def _plain(text: str) -> str:
    """A user's text within Markdown: nothing of it is markup."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"[`<>]", "'", shown)
