"""`ftc plan --exact`: a plan and a stack → a footprint by a trace. Torch is loaded only where nothing was kept."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from compiler.errors import FtcError
from compiler.exit import MISSING
from compiler.memory.allocator import cublas
from compiler.memory.stacks import profile
from compiler.models import ModelNotFound, find_config
from compiler.trace.cache import key, load, store
from compiler.trace.footprint import footprint
from compiler.trace.traced import Traced, read
from compiler.trace.untraceable import UntraceableError, require_traceable
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan

LIBRARIES: Final = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")


def weigh_exact(plan: Plan, stack: Stack, tell: Callable[[str], None]) -> Footprint:
    """The footprint by a trace, kept for the next time. `tell`: is told of what takes time.

    `UntraceableError` where a part of the run has no trace; `FtcError` where packages or the model are missing.
    """
    facts = profile(stack)
    require_traceable(plan, facts)
    versions, config = _versions(), _config(plan.model.base, plan.model.revision)
    name = key(plan, facts, config, versions)
    traced = load(name)
    if traced is None:
        tell(f"tracing {plan.facts.name} under {facts.title}")
        traced = _trace(plan, stack, config, versions)
        store(name, traced)
    return footprint(plan, stack, traced)


def _versions() -> dict[str, str]:
    """Of what is traced; `FtcError` where one is missing."""
    try:
        return {name: version(name) for name in LIBRARIES}
    except PackageNotFoundError as error:
        raise FtcError(
            f"--exact needs {error.name}, which is not installed", "pip install 'ftc[native]'", MISSING
        ) from error


@cache
def _config(base: str, revision: str) -> Mapping[str, object]:
    found = find_config(base, Path(), revision=revision)
    if isinstance(found, ModelNotFound):
        raise FtcError(f'config.json of "{base}" is no longer found: {"; ".join(found.tried)}', None, MISSING)
    return found


def _trace(plan: Plan, stack: Stack, config: Mapping[str, object], versions: dict[str, str]) -> Traced:
    try:
        with _silence():
            from compiler.trace.run import record

            recording = record(plan, stack, config)
    except FtcError:
        raise
    except ImportError as error:
        raise FtcError(f"--exact cannot load its libraries: {error}", "pip install 'ftc[native]'", MISSING) from error
    except Exception as error:  # a model's own code may ask anything of tensors that have no content
        said = " ".join(str(error).split())[:200]
        raise UntraceableError(f"{plan.facts.family} under {stack}: {type(error).__name__}: {said}") from error
    return read(recording, plan.facts.vocab, cublas(plan.gpu), profile(stack).power2_divisions, versions)


@contextmanager
def _silence() -> Generator[None, None, None]:
    """The libraries talk while they are imported, and warn of what concerns real runs only."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
