"""A page as its tests read it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br"}
OUTSIDE = {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "use", "foreignobject"}


class Page(HTMLParser):
    """Every start tag with its attributes, the values of `data`, all text, of some tags each one's own; and that tags
    are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.figures: set[float] = set()
        self.words = ""
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        self.texts.setdefault(tag, []).append("")
        if tag == "data":
            self.figures.add(float(values["value"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data
        for tag in set(self.open):
            self.texts[tag][-1] += data


def foreign(text: str) -> list[str]:
    """What of a page would ask for something, or run something."""
    page = Page(text)
    names = [name for _, attributes in page.tags for name in attributes]
    styles = "".join([*page.texts["style"], *(values.get("style", "") for _, values in page.tags)])
    return [
        *(tag for tag, _ in page.tags if tag in OUTSIDE),
        *(name for name in names if name in ("src", "href", "srcset", "xlink:href", "action") or name.startswith("on")),
        *re.findall(r"https?:|//|@import|url\((?!#)", styles),
    ]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Of two colours."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
