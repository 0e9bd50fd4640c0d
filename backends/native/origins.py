# pyright: basic
"""The files that a run is made of, each with what tells its content from another's: rows, chat template, and the base
where that is a folder. Of what lies on the hub the plan's settings tell all that is known.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from backends.native.files import digest, local_files, stamp

Plan = dict[str, Any]
KINDS = (".json", ".jinja", ".model", ".txt", ".py", ".safetensors", ".bin", ".gguf")
"""Endings of files that decide what a base or a tokenizer is."""
IDLE = ("generation_config.json",)
"""Decides how is answered, not what is learnt."""
SPOTS, SIZE = 64, 1 << 16
"""Of a file of weights so many places are read, of so many bytes."""


def files_of(plan: Plan) -> list[tuple[str, str]]:
    """All of them, in order: what each is, and a hash."""
    data, model = plan["data"], plan["model"]
    own = data["validation"] if isinstance(data["validation"], list) else []
    local = [source["path"] for source in (*data["train"], *own) if source["local"]]
    rows = [(f"data file {file.name}", digest(file)) for path in local for file in local_files(path)]
    folders = {"base": model["base"], "tokenizer": model["tokenizer"]}
    made = [(f"{what} file {path.name}", _spots(path, stamp(path))) for what, path in _parts(folders)]
    template = plan["derived"]["template"]
    return [*rows, *([("chat template", template)] if template else []), *made]


def _parts(folders: dict[str, str | None]) -> list[tuple[str, Path]]:
    found = [(what, path) for what, folder in folders.items() if folder for path in sorted(Path(folder).glob("*"))]
    return [(what, path) for what, path in found if path.suffix in KINDS and path.name not in IDLE and path.is_file()]


@cache
def _spots(path: Path, told: tuple[int, int, int]) -> str:
    """A hash of a file's size and of spots all over it: weights that were trained differ everywhere, and to read a
    large model as a whole takes minutes."""
    size, found = told[0], hashlib.sha256(str(told[0]).encode())
    with path.open("rb") as file:
        for spot in range(SPOTS if size > SPOTS * SIZE else 1):
            file.seek(spot * (size - SIZE) // (SPOTS - 1))
            found.update(file.read(SIZE if size > SPOTS * SIZE else size))
    return found.hexdigest()
