"""How each shell asks what may follow, and how it is answered: click's machinery with scripts of our own.

Click's bash script does not see words that bash breaks at `=`, `:` and `@`, as in `--set training.epochs=3`; so a shell
hands us the line as it was typed, and we break it.
"""

from __future__ import annotations

from os import environ
from pathlib import Path
from typing import ClassVar, Final

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from compiler.completion.words import every_file, every_folder

VARIABLE: Final = "_FTC_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")


class _Asked(ShellComplete):
    """Reads the line; what goes wrong is no business of somebody who types."""

    def source(self) -> str:
        return script(self.name)

    def get_completion_args(self) -> tuple[list[str], str]:
        line = environ.get("FTC_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or _is_finished(line, words[-1]):
            return words, ""
        return words[:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        items = super().get_completions(args, incomplete)
        option, equals, value = incomplete.partition("=")
        before = option + equals if equals and option.startswith("--") else ""
        typed = value if before else incomplete
        found = [each for item in items for each in _written_out(item, typed)]
        return [CompletionItem(before + item.value, item.type, item.help) for item in found]

    def complete(self) -> str:
        try:
            return super().complete()
        except Exception:
            return ""


class _Bash(_Asked):
    name: ClassVar[str] = "bash"

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Bash puts what we say in the place of what follows the last character that it breaks words at."""
        value = item.value[kept_by_bash(environ.get("FTC_LINE", ""), environ.get("FTC_BREAKS", "")) :]
        return f"{item.type},{value.rstrip('/') if item.type == 'path' and len(value) > 1 else value}"


class _Zsh(_Asked):
    name: ClassVar[str] = "zsh"

    def format_completion(self, item: CompletionItem[str]) -> str:
        return f"{item.type}\t{item.value}\t{item.help or ''}"


class _Fish(_Asked):
    name: ClassVar[str] = "fish"

    def format_completion(self, item: CompletionItem[str]) -> str:
        return f"{item.value}\t{item.help}" if item.help else item.value


def register() -> None:
    """Let click know of them."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)


def script(shell: str) -> str:
    """What the shell is to read."""
    return (Path(__file__).parent / f"ftc.{shell}").read_text(encoding="utf-8")


def kept_by_bash(line: str, breaks: str) -> int:
    """How many characters of the last word stand before the last place where bash breaks it: none that is quoted, but
    the quote itself that is still open. Of `@` and `$`, from there on (readline's rl_special_prefixes)."""
    quote, escaped, length, kept = "", False, 0, 0
    for index, char in enumerate(line):
        if escaped:
            length, escaped = length + 1, False
        elif char == "\\" and (not quote or (quote == '"' and line[index + 1 : index + 2] in ('"', "\\"))):
            escaped = True
        elif char == quote:
            quote = ""
        elif quote:
            length += 1
        elif char in "'\"":
            quote, kept = char, length
        elif char.isspace():
            length = kept = 0
        else:
            length += 1
            kept = length - (char in "@$") if char in breaks else kept
    return kept


def _is_finished(line: str, last: str) -> bool:
    """Whether a new word begins: after a space that is neither quoted nor part of the last word."""
    return line[-1:].isspace() and not last[-1:].isspace()


def _written_out(item: CompletionItem[str], typed: str) -> list[CompletionItem[str]]:
    """Click leaves files and folders to the shell; each of ours would do it another way."""
    if item.type == "file":
        return every_file(typed)
    return every_folder(typed) if item.type == "dir" else [item]
