"""`make fuzz`: no bytes, no YAML and no mutated recipe ends in a traceback, or takes over two seconds.

Not collected by `make test`: pytest is pointed at this file.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.cli import main

ROOT = Path(__file__).parents[1]
RECIPES = [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.ftc.yaml"))]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "7000"))
"""Examples for each of the three laws: 21,000 in all."""
LIMIT = 2
FUZZ = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@contextmanager
def limited() -> Iterator[None]:
    """Fail where the body takes longer than `LIMIT` seconds of this process's own time."""

    def stop(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"took over {LIMIT} s")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def check(content: bytes) -> None:
    """Validate for all targets, as the command line does, in this process."""
    file = ROOT / "recipes" / f".fuzz-{os.getpid()}.ftc.yaml"
    file.write_bytes(content)
    try:
        with limited():
            done = CliRunner().invoke(main, ["validate", str(file), "--target", "all"])
    finally:
        file.unlink()
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 1, 2, 3, 4)


@FUZZ
@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    check(content)


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12))
TREES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@FUZZ
@given(st.sampled_from(RECIPES), st.data())
def test_recipes_with_a_leaf_replaced(recipe: bytes, data: st.DataObject) -> None:
    import json

    import yaml

    tree = yaml.safe_load(recipe)
    section = data.draw(st.sampled_from(sorted(tree)))
    if isinstance(tree[section], dict) and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(tree[section])) | st.text(max_size=8))
        tree[section][key] = data.draw(TREES)
    else:
        tree[section] = data.draw(TREES)
    check(json.dumps(tree).encode())


PIECES = st.sampled_from(
    [
        b":",
        b"- ",
        b"\n",
        b"  ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a ",
        b"*a",
        b"!!x ",
        b"? ",
        b"|",
        b"\t",
        b"'",
        b'"',
        b"\xff",
        b"%",
        b"<<: ",
        b"#",
        b"null",
        b"1e999",
        b"---\n",
    ]
)


@FUZZ
@given(
    st.sampled_from(RECIPES),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 9), PIECES), min_size=1, max_size=6),
)
def test_recipes_with_text_damaged(recipe: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for start, length, piece in edits:
        recipe = recipe[:start] + piece + recipe[start + length :]
    check(recipe)
