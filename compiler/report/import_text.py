"""What became of another tool's config, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.importing.importing import Imported, Remark
from compiler.importing.tools import TITLES
from compiler.report.machine import FORMAT_VERSION, as_json, diagnostic_data
from compiler.report.paint import Paint, printable
from compiler.report.text import diagnostics_text
from schemas.diagnostic import Diagnostic


def import_text(made: Imported, file: str, lines: Sequence[str], paint: Paint) -> str:
    """Warnings with their lines, or errors alone; what was left out without effect, a line each; the sum."""
    told = ("error",) if made.text is None else ("error", "warning")
    loud = [_diagnostic(item, file) for item in made.remarks if item.level in told]
    quiet = [item for item in made.remarks if item.level == "note"]
    text = diagnostics_text(loud, {file: lines}, paint)
    if quiet and made.text is not None:
        text += "left out, without effect on what is learnt (FTC423):\n"
        width = max(len(item.key) for item in quiet)
        text += "".join(f"  {file}:{item.span.line}: {_note(item, width)}\n" for item in quiet)
    return text + _sum(made, paint)


def _note(item: Remark, width: int) -> str:
    return printable(f"{item.key:<{width}}  {item.message.removeprefix(f'{item.key}: ')}")


def _sum(made: Imported, paint: Paint) -> str:
    title = TITLES[made.tool]
    if made.text is None:
        return paint(f"not imported from {title}", "red", bold=True) + "\n"
    said = made.reading.said
    lost = sum(item.level == "warning" for item in made.remarks)
    what = f"{len(made.reading.carried())} of {len(said)} keys carried from {title}"
    return paint(what, "green" if not lost else "yellow", bold=True) + _lost(lost) + "\n"


def _lost(count: int) -> str:
    return f", {count} warning{'s' if count > 1 else ''}" if count else ""


def _diagnostic(item: Remark, file: str) -> Diagnostic:
    level = "error" if item.level == "error" else "warning"
    return Diagnostic(item.code, level, item.message, file, item.span, item.key, item.hint)


def import_json(made: Imported, file: str, out: str | None) -> str:
    """The same as data, with the recipe in it."""
    return as_json(
        {
            "format_version": FORMAT_VERSION,
            "file": file,
            "tool": made.tool,
            "imported": made.text is not None,
            "whole": made.whole,
            "out": out,
            "keys": {
                "with_value": len(made.reading.said),
                "carried": len(made.reading.carried()),
                "empty": len(made.reading.empty),
            },
            "carried": sorted(made.reading.carried()),
            "leaves": {path: list(leaf.keys) for path, leaf in made.reading.leaves.items() if "[" not in path},
            "diagnostics": [_data(item, file) for item in made.remarks],
            "files": made.files,
            "recipe": made.text,
        }
    )


def unreadable_json(found: Sequence[Diagnostic], file: str) -> str:
    """The same of a text that is no YAML mapping."""
    diagnostics = [diagnostic_data(item) for item in found]
    told = {"format_version": FORMAT_VERSION, "file": file, "imported": False, "recipe": None}
    return as_json({**told, "diagnostics": diagnostics})


def _data(item: Remark, file: str) -> dict[str, object]:
    return {
        "code": item.code,
        "level": item.level,
        "message": item.message,
        "file": file,
        "line": item.span.line,
        "column": item.span.column,
        "end_line": item.span.end_line,
        "end_column": item.span.end_column,
        "path": item.key,
        "hint": item.hint,
    }
