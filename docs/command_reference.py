"""The command line as a page, from the commands' own help."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

from compiler.cli import main
from compiler.report.matrix import markdown

HEAD = """\
# Commands

Reports go to standard output, progress to
standard error. [Exit codes](exit-codes.md) are the same in every command. `NO_COLOR` is honoured. On a terminal `ftc
COMMAND --help` says the same as this page.
"""

WHOLE = "\b\n"
"""How a paragraph begins that click does not wrap."""


def commands_page() -> str:
    """docs/reference/commands.md."""
    context = click.Context(main, info_name="ftc")
    found = [(name, main.get_command(context, name)) for name in main.list_commands(context)]
    rows = [[f"[`ftc {name}`](#ftc-{name})", command.get_short_help_str(100)] for name, command in found if command]
    return f"{HEAD}\n{markdown(['command', ''], rows)}" + "".join(
        text for name, command in found if command for text in _command(command, f"ftc {name}", context)
    )


def _command(command: click.Command, name: str, above: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=above)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    depth = "#" * (name.count(" ") + 1)
    options = [row for row in (_row(each, context) for each in command.get_params(context)) if row]
    table = markdown(["option", ""], options) if options else ""
    yield f"\n{depth} {name}\n\n```text\n{usage}\n```\n\n{_help(command)}\n{table}"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found:
                yield from _command(found, f"{name} {inner}", context)


def _help(command: click.Command) -> str:
    """Its text, paragraph by paragraph."""
    text = cleandoc((command.help or command.short_help or "").partition("\f")[0])
    return "\n\n".join(map(_paragraph, text.split("\n\n"))) + "\n"


def _paragraph(text: str) -> str:
    """A part that click would not wrap stays as it is."""
    return f"```text\n{text.removeprefix(WHOLE)}\n```" if text.startswith(WHOLE) else text


def _row(option: click.Parameter, context: click.Context) -> list[str] | None:
    if not isinstance(option, click.Option) or option.hidden or "--help" in option.opts:
        return None
    record = option.get_help_extra(context)
    value = "" if option.is_flag else f" {option.make_metavar(context)}"
    names = "/".join([*option.opts, *option.secondary_opts])
    said = " ".join(part for part in (option.help or "", "Required." if option.required else "") if part)
    if record.get("range"):
        said = f"{said} ({record['range']})".strip()
    # Not in backquotes: a bar in them is a bar to one reader of Markdown and the end of a cell to another.
    shown = f"<code>{_escaped(names + value).replace('|', '&#124;')}</code>"
    default = f" Default: `{record['default']}`." if record.get("default") else ""
    return [shown, f"{_escaped(said)}{default}".strip()]


def _escaped(text: str) -> str:
    """Text in which a tilde or an angle bracket is what it is."""
    return text.replace("<", "&lt;")
