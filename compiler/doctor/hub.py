"""The way to the hub: variables, a token's presence, whether it answers. A token is never read aloud."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from compiler.doctor.line import Line
from compiler.models import OFFLINE, cache_root, told_to_be_offline

GROUP: Final = "the hub"
SECONDS: Final = 5.0
"""A name server that does not answer may take far longer than a connection."""


def hub() -> list[Line]:
    """Both lines of it."""
    return [_access(), _token()]


def _access() -> Line:
    if told_to_be_offline():
        named = " and ".join(f"{name}={os.environ[name]}" for name in OFFLINE if os.environ.get(name))
        remedy = f"unset {' '.join(OFFLINE)} to download models"
        return Line(GROUP, "access", "note", f"not asked: {named}", remedy)
    from compiler.hub import endpoint, is_out_of_reach

    host = _host(endpoint()) or "what HF_ENDPOINT names"
    answers: list[bool] = []
    asking = Thread(target=lambda: answers.append(not is_out_of_reach()), daemon=True)
    asking.start()
    asking.join(SECONDS)
    if answers == [True]:
        return Line(GROUP, "access", "ok", f"{host} answers")
    remedy = (
        "models and data come from the hub's cache or folders; see HTTPS_PROXY, HF_ENDPOINT, or set HF_HUB_OFFLINE=1"
    )
    return Line(GROUP, "access", "warning", f"{host} cannot be reached", remedy)


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # as `http://[`
        return None


def _token() -> Line:
    places = [os.environ.get("HF_TOKEN_PATH"), str(cache_root().parent / "token")]
    kept = next((place for place in places if place and _has_text(Path(place).expanduser())), None)
    if os.environ.get("HF_TOKEN", "").strip():
        return Line(GROUP, "token", "ok", "there is one, in HF_TOKEN")
    if kept:
        return Line(GROUP, "token", "ok", f"there is one, in {kept}")
    return Line(
        GROUP, "token", "note", "there is none", "gated models as Llama's need one: `hf auth login`, or set HF_TOKEN"
    )


def _has_text(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False
