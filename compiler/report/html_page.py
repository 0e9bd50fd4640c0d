"""Pages: one file each, no network, no scripts, the same bytes every time, and all that is put in is text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from compiler.report.paint import printable

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE: Final = Path(__file__).with_name("page")
SHARED: Final = Path(__file__).parents[2] / "backends" / "native"
"""Where the style lies that the page of a run has too: its artifact takes it along."""


def environment() -> Environment:
    """Templates that escape all they are given."""
    from backends.native import page

    return page.environment((PAGE, SHARED), _shown)


def _shown(value: object) -> object:
    """What a template puts in: text without characters that steer; markup as it is."""
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
