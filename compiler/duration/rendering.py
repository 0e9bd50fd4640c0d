"""Tokens of rows by the tokenizer itself, where its files lie on this machine: without transformers, in milliseconds.

The chat template is rendered as transformers renders it, and its text is cut by the `tokenizers` package. What is not
told apart here is which tokens are trained: a row in which nothing is, is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

from msgspec import Struct

from backends.alike import own_template
from backends.native.calls import with_objects
from backends.native.formats import Row
from compiler.checkpoint.chat_format import FILES, template_of_tokenizer
from compiler.duration.characters import Length
from compiler.models import snapshot
from schemas.plan import Plan

FILE: Final = "tokenizer.json"
MARKS: Final = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""Marks of what is trained, which jinja2 alone does not know."""
DIFFERS: Final = 0.02
"""How far the count may be from the run's: other packages read the same files."""


DAY: Final = "01 Jan 2026"
"""Templates that write today's date: any day has as many tokens, and the same one always makes the same figures."""


class Cutter(Struct, frozen=True):
    """A tokenizer with its template. `render`: the text of a conversation; None where there is no template."""

    tokenizer: Any
    render: Callable[[Sequence[Any], Sequence[Any]], str] | None
    end: str

    def lengths(self, rows: Sequence[Row]) -> list[tuple[Length, ...]] | None:
        """Tokens of each rendering of each row; None where the template cannot be rendered here."""
        each = [row.each() for row in rows]
        try:
            texts = [self._text(row) for renderings in each for row in renderings]
        except Exception:  # a template may raise whatever it likes
            return None
        coded = iter(self.tokenizer.encode_batch_fast(texts, add_special_tokens=not any(row.messages for row in rows)))
        return [tuple(_exactly(len(next(coded).ids)) for _ in renderings) for renderings in each]

    def _text(self, row: Row) -> str:
        if not row.messages:
            return row.prompt + row.text.removesuffix(self.end) + self.end
        if self.render is None:
            raise ValueError("no chat template")
        return self.render(with_objects(row.messages), row.tools)


def _exactly(count: int) -> Length:
    return Length(count * (1 - DIFFERS), count, count * (1 + DIFFERS))


def find_cutter(plan: Plan) -> Cutter | None:
    """The tokenizer of a plan; None where its files, or the package that reads them, are not here."""
    named = plan.model.tokenizer or plan.model.base
    revision = "main" if plan.model.tokenizer else plan.model.revision
    folder = Path(named) if Path(named).is_dir() else snapshot(named, revision)
    if folder is None or not (folder / FILE).is_file() or find_spec("tokenizers") is None:
        return None
    template = own_template(plan)
    return _cutter(folder, template, plan.model.chat_template is not None)


@lru_cache(maxsize=4)
def _cutter(folder: Path, template: Path | None, templated: bool) -> Cutter | None:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / FILE))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        config = _config(folder)
        text = template.read_text("utf-8") if template else _template(folder)
        render = _renderer(text, config) if templated and text else None
    except Exception:  # a damaged file, or one of another package: it is estimated then, as without it
        return None
    return Cutter(tokenizer, render, config.get("eos_token", ""))


def _config(folder: Path) -> dict[str, str]:
    """The special tokens by their names."""
    file = folder / FILES[1]
    said: object = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    found = cast("dict[str, object]", said) if isinstance(said, dict) else {}
    named = {name: _token(value) for name, value in found.items() if name.endswith("_token")}
    return {name: value for name, value in named.items() if value}


def _token(value: object) -> str:
    """A token is written as its text, or with its properties."""
    if isinstance(value, dict):
        value = cast("dict[str, object]", value).get("content")
    return value if isinstance(value, str) else ""


def _template(folder: Path) -> str | None:
    template, config = (folder / name for name in FILES)
    if template.is_file():
        return template.read_text("utf-8")
    return template_of_tokenizer(config.read_text("utf-8")) if config.is_file() else None


def _renderer(text: str, tokens: dict[str, str]) -> Callable[[Sequence[Any], Sequence[Any]], str]:
    """The template in the environment that transformers gives it: a sandbox, as it is somebody else's program."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    compiled = environment.from_string(
        MARKS.sub("", text), globals={"raise_exception": _refused, "strftime_now": _today}
    )

    def render(messages: Sequence[Any], tools: Sequence[Any]) -> str:
        return compiled.render(
            messages=list(messages), tools=list(tools) or None, documents=None, add_generation_prompt=False, **tokens
        )

    return render


def _to_json(value: object, indent: int | None = None, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refused(message: str) -> None:
    raise ValueError(message)


def _today(form: str) -> str:
    """One day, however it is to be written."""
    del form
    return DAY
