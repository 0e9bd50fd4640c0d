"""What `ftc lsp` leaves to a schema beside it, the schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from calls import text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.lsp.analysis import analyse
from compiler.lsp.diagnosing import said_by_schema
from compiler.lsp.settings import Settings
from schemas.json_schema import recipe_schema
from schemas.leaves import leaves

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad").glob("*.yaml"))
SCHEMA = jsonschema.Draft7Validator(recipe_schema())
PATHS = [leaf.path.split(".") for leaf in leaves() if "[]" not in leaf.path and leaf.path.count(".") == 1]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["auto", "no", "", "lora", "22GiB", "x", "1e-4", "epoch"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["path", "bits", "kind"]), inner),
    max_leaves=4,
)


def left_to_the_schema(file: Path, text: str) -> list[str]:
    """Paths of findings that are not published; each must be in the schema's errors."""
    analysis = analyse(file, text, Settings(), "utf-16")
    return [item.path for item in analysis.findings if said_by_schema(analysis, item)]


def check(file: Path, text: str) -> None:
    hidden = left_to_the_schema(file, text)
    data = analyse(file, text, Settings(), "utf-16").source.data
    places = [
        "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)[1:]
        for error in SCHEMA.iter_errors(data)
    ]
    for path in hidden:
        assert any(path.startswith(place) or place.startswith(path) for place in places), (path, places)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_of_the_corpus(file: Path) -> None:
    check(file, file.read_text(encoding="utf-8"))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PATHS), VALUES, st.sampled_from(["lora", "qlora", "full", "ia3"]))
def test_of_any_value(path: list[str], value: Any, kind: str) -> None:
    section = (
        {**json.loads(text_of(method={"kind": kind}))[path[0]], path[1]: value}
        if path[0] in json.loads(text_of())
        else {path[1]: value}
    )
    text = text_of(**{"method": {"kind": kind}, path[0]: section})
    text = text.replace("-Infinity", "-.inf").replace("Infinity", ".inf").replace("NaN", ".nan")
    check(HERE.parent / "recipes" / "r.ftc.yaml", text)
