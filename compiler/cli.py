"""The command line: finds a command, calls it, turns what ends it into an exit code. No decisions."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NoReturn

import click

from compiler.errors import FtcError, log_bug
from compiler.exit import INTERNAL, INTERRUPTED, USAGE
from schemas.version import VERSION

# A command lives too briefly for the cycle collector to find much: looking costs a twelfth of the start.
gc.set_threshold(200_000)

COMMANDS: Final = (
    "recommend",
    "init",
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
    "lsp",
    "doctor",
    "completion",
)

MODULES: Final = {"import": "importing"}
"""Commands whose name no module can have."""


COMPLETE: Final = "_FTC_COMPLETE"
"""Set by a shell that asks what may follow (compiler/completion)."""

GROUPS: Final = {
    "Write a recipe": ("recommend", "init", "import", "validate", "config", "diff", "data"),
    "Plan, build and train": ("plan", "build", "run"),
    "After training": ("merge", "chat", "eval"),
    "Look up": ("explain", "targets", "models", "gpus"),
    "Set up": ("doctor", "completion", "schema", "lsp"),
}
"""How `ftc --help` shows the commands, by what they are for."""


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by group."""
        wide = max(map(len, COMMANDS))
        for title, names in GROUPS.items():
            found = {name: self.get_command(ctx, name) for name in names}
            rows = [(name.ljust(wide), item.get_short_help_str(60)) for name, item in found.items() if item]
            with formatter.section(title):
                formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run to the end of the process."""
        _prepare()
        settings = {**kwargs, "standalone_mode": False, "complete_var": COMPLETE}
        sys.exit(_guarded(lambda: super(Ftc, self).main(*args, **settings)))


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
    if COMPLETE in os.environ:
        from compiler.completion.shells import register

        register()


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
    what = f"{type(sys.exc_info()[1]).__name__}: {sys.exc_info()[1]}"
    _say(f"ftc failed, which is a bug: {what}", f"please report it with {log_bug()} and the recipe")
    return INTERNAL


if __name__ == "__main__":
    main()
