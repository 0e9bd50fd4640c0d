"""The tokenizer that training will use, where it can be reached, and the tokens at which generation stops."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from backends.alike import own_template
from compiler.models import snapshot
from schemas.diagnostic import Finding
from schemas.plan import Plan


class Tokenizer(Struct, frozen=True):
    """`tokenizer` is None where it cannot be had; `why` says why not, and `problem` that the run would fail for it.

    `stops`: ids of tokens that end an answer.
    """

    tokenizer: Any
    stops: frozenset[int] = frozenset()
    why: str = ""
    problem: Finding | None = None


def find_tokenizer(plan: Plan) -> Tokenizer:
    """transformers' tokenizer with the plan's template and tokens, loaded as the run loads it."""
    if find_spec("transformers") is None:
        return Tokenizer(None, why="transformers is not installed here: pip install 'ftc[native]'")
    from backends.native.tokenizer import TokenError, TokenizerError, load_tokenizer

    # It logs what goes wrong and raises it as well.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        tokenizer = load_tokenizer(_told(plan), Path())
    except TokenError as error:
        return _wrong("FTC554", "model.tokens", str(error), "write tokens that it has")
    except TokenizerError as error:
        return _unloaded(plan, _short(str(error)))
    except Exception as error:  # a package that is missing, or a damaged file: it raises whatever it likes
        return _unloaded(plan, f"it cannot be loaded here: {type(error).__name__}: {error}")
    if plan.model.chat_template and not tokenizer.chat_template:
        message = "the tokenizer has no chat template, and the rows are conversations"
        return _wrong("FTC239", "model.chat_template", message, "write chatml, alpaca, or the path of a .jinja file")
    return Tokenizer(tokenizer, _stops(plan, tokenizer))


def _wrong(code: str, path: str, message: str, hint: str) -> Tokenizer:
    return Tokenizer(None, why=message, problem=Finding(code, path, message, hint))


def _unloaded(plan: Plan, why: str) -> Tokenizer:
    """A tokenizer that is here and cannot be loaded is an error, one of the hub may be out of reach."""
    leaf = "tokenizer" if plan.model.tokenizer else "base"
    if Path(plan.model.tokenizer or plan.model.base).is_dir():
        return _wrong("FTC554", f"model.{leaf}", why, "look at tokenizer.json and tokenizer_config.json in that folder")
    return Tokenizer(None, why=why)


def _told(plan: Plan) -> dict[str, Any]:
    """The part of the plan that it is loaded by."""
    model, template = plan.model, own_template(plan)
    names = ("base", "revision", "trust_remote_code", "tokenizer")
    tokens = {name: getattr(model.tokens, name) for name in model.tokens.__struct_fields__}
    chosen = str(template) if template else model.chat_template
    return {"model": {**{name: getattr(model, name) for name in names}, "tokens": tokens, "chat_template": chosen}}


def _short(said: str) -> str:
    """The first sentence: what follows is advice for other cases."""
    return said.splitlines()[0].partition(". ")[0].rstrip(".")


def _stops(plan: Plan, tokenizer: Any) -> frozenset[int]:
    """The tokenizer's end-of-sequence token, and what the base's generation settings name beside it."""
    found = {tokenizer.eos_token_id, *_of_generation(plan)}
    return frozenset(token for token in found if isinstance(token, int))


def _of_generation(plan: Plan) -> list[object]:
    folder = Path(plan.model.base) if Path(plan.model.base).is_dir() else snapshot(plan.model.base, plan.model.revision)
    file = folder / "generation_config.json" if folder else None
    if plan.model.tokens.eos or file is None or not file.is_file():
        return []
    try:
        config: object = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    said = cast("dict[str, object]", config).get("eos_token_id") if isinstance(config, dict) else None
    return cast("list[object]", said) if isinstance(said, list) else [said]
