"""How a command says what a shell offers for one of its parameters, at no cost to its start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def offers(kind: str, **more: bool) -> Callable[[click.Context, click.Parameter, str], Any]:
    """The function of that name in `compiler.completion.words`."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        del ctx, param
        from compiler.completion import words  # only where a shell asks

        return getattr(words, kind)(incomplete, **more)

    return complete
