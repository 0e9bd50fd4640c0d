"""What LLaMA-Factory makes of a config, as its own parser says: no model, no rows.

Run by LLaMA-Factory's Python with folders that hold a `config.yaml`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from pathlib import Path
from typing import Any

import transformers
from check_llamafactory import on_its_cards
from llamafactory.data.template import TEMPLATES
from llamafactory.hparams import parser
from pretend import a_card
from worker import Report, serve


def check(told: dict[str, Any]) -> Report:
    """Values by name."""
    del told
    sys.argv = ["llamafactory-cli", "config.yaml"]
    spread = re.search(r"^(deepspeed|fsdp):", Path("config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    with on_its_cards() if spread else contextlib.nullcontext(), contextlib.redirect_stdout(io.StringIO()):
        parts = parser.get_train_args()
    seen = {field.name: getattr(part, field.name) for part in parts for field in dataclasses.fields(part)}
    seen["template"] = template(seen["template"])
    return {"wrong": [], "effective": {name: plain(value) for name, value in seen.items()}}


def template(named: str | None) -> object:
    """What it writes around a question and an answer."""
    found = TEMPLATES.get(named) if named else None
    if found is None:
        return named
    parts = (found.format_user, found.format_assistant, found.format_system, found.format_prefix)
    return [[*map(plain, part.slots)] for part in parts] + [type(found).__name__, found.default_system]


def plain(value: Any) -> Any:
    """Enumerations and tuples as JSON has them."""
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    value = getattr(value, "value", value)
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)


if __name__ == "__main__":
    a_card(parser)
    transformers.utils.is_flash_attn_2_available = lambda: True
    transformers.utils.logging.set_verbosity_error()
    serve(check)
