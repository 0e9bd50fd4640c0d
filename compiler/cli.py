"""The command line: finds a command, calls it, turns what ends it into an exit code. No decisions."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NoReturn

import click

from compiler.errors import FtcError
from compiler.exit import INTERNAL, INTERRUPTED, USAGE
from schemas.version import VERSION

# A command lives too briefly for the cycle collector to find much: looking costs a twelfth of the start.
gc.set_threshold(200_000)

COMMANDS: Final = (
    "validate",
    "plan",
    "build",
    "run",
    "merge",
    "chat",
    "eval",
    "data",
    "config",
    "import",
    "diff",
    "targets",
    "models",
    "gpus",
    "explain",
    "schema",
)

MODULES: Final = {"import": "importing"}
"""Commands whose name no module can have."""


class Ftc(click.Group):
    """Imports a command's module when it is called, and lets no traceback reach a user."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its module imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"compiler.commands.{MODULES.get(cmd_name, cmd_name)}").command

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run to the end of the process."""
        _prepare()
        sys.exit(_guarded(lambda: super(Ftc, self).main(*args, **{**kwargs, "standalone_mode": False})))


@click.group(cls=Ftc, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="ftc")
def main() -> None:
    """A compiler for fine-tuning: one recipe, checked, weighed against the GPU, compiled to four trainers."""


def _prepare() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 gets question marks, not an error.
            stream.reconfigure(errors="replace")
    _skip_plugins()


def _skip_plugins() -> None:
    """Pydantic looks for plugins of its own in every installed package: a tenth of the time that `validate` takes.

    It imports its finder when it builds the first model, so that finding one here in its place is enough.
    """
    finder = ModuleType("pydantic.plugin._loader")
    finder.__dict__["get_plugins"] = tuple
    sys.modules.setdefault(finder.__name__, finder)


def _guarded(call: Callable[[], object]) -> int:
    try:
        code = call()
    except FtcError as error:
        _say(error.message, error.hint)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        _say(f"cannot read or write: {error}", None)
        return USAGE
    except Exception:
        return _bug()
    return code if isinstance(code, int) else 0


def _say(message: str, hint: str | None) -> None:
    click.echo(f"{click.style('error', fg='red', bold=True)}: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


def _bug() -> int:
    from tempfile import NamedTemporaryFile
    from traceback import format_exc

    with NamedTemporaryFile("w", prefix="ftc-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"ftc {VERSION}, Python {sys.version}\n{format_exc()}")
    what = f"{type(sys.exc_info()[1]).__name__}: {sys.exc_info()[1]}"
    _say(f"ftc failed, which is a bug: {what}", f"please report it with {log.name} and the recipe")
    return INTERNAL


if __name__ == "__main__":
    main()
