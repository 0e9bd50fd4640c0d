"""Traces kept in the user's cache folder, so that the same plan is traced once.

A file is written aside and renamed, so that two processes never read half of one. What cannot be read is no trace.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import msgspec
from msgspec.structs import replace

from compiler.memory.allocator import cublas
from compiler.memory.stacks import Profile
from compiler.trace.card import fuses_heads
from compiler.trace.traced import Traced
from schemas.plan import Plan

COMPILER: Final = Path(__file__).parents[1]
NATIVE: Final = COMPILER.parent / "backends" / "native"
MODEL: Final = ("bottlenecks.py", "methods.py", "model.py", "muon.py", "vocabulary.py")
CODE: Final = (COMPILER / "trace", COMPILER / "memory", *(NATIVE / name for name in MODEL))
"""What decides a trace: files, and folders of files."""


def folder() -> Path:
    """Where traces are kept: `ftc/traces` in the user's cache folder."""
    said = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(said) if Path(said).is_absolute() else Path("~/.cache").expanduser()
    return home / "ftc" / "traces"


def key(plan: Plan, stack: Profile, config: object, versions: dict[str, str]) -> str:
    """Names a trace by all that it depends on: neither the card's size nor the run's name, data or schedule."""
    found = sha256(msgspec.json.encode((_deciding(plan), stack.stack, config, versions), order="sorted"))
    for path in CODE:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".json"):
                found.update(file.read_bytes())
    return found.hexdigest()


def _deciding(plan: Plan) -> tuple[object, ...]:
    """What of the plan a trace depends on."""
    training = replace(
        plan.training,
        epochs=None,
        max_steps=None,
        learning_rate=0.0,
        scheduler="cosine",
        min_lr_ratio=0.0,
        warmup=0,
        weight_decay=0.0,
        betas=None,
        epsilon=None,
        seed=0,
        global_batch_size=min(plan.accumulation, 2),
    )
    data = (plan.data.max_length, plan.data.packing, plan.data.validation is not None)
    card = (fuses_heads(plan), cublas(plan.gpu), plan.devices)
    tokens = plan.facts.vocab, len(plan.model.tokens.add)
    return plan.model.dtype, plan.model.attention, plan.method, data, training, plan.evaluation, card, tokens


def load(name: str) -> Traced | None:
    """The trace of that key; None where there is none, or a broken one."""
    try:
        return msgspec.json.decode((folder() / f"{name}.json").read_bytes(), type=Traced)
    except (OSError, msgspec.MsgspecError):
        return None


def store(name: str, traced: Traced) -> None:
    """Keep a trace. A folder that cannot be written keeps none."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder(), suffix=".part", delete=False) as aside:
            aside.write(msgspec.json.encode(traced))
        Path(aside.name).replace(folder() / f"{name}.json")
    except OSError:
        return
