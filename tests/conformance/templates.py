"""Chat templates of other tools beside those that models ship: what is written of a conversation, what is trained.

Each conversation of the corpus is rendered by LLaMA-Factory's and Axolotl's own code for the same family, on the same
tokenizer. What differs must stand in `templates_known.py`, and what stands there must differ.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from chat_corpus import SHAPES, ChatTemplate, catalog, corpus, make_tokenizer
from environments import BY_NAME, ENVIRONMENT, HERE, install
from msgspec import Struct, to_builtins
from rendering import shown_pieces
from templates_known import KNOWN, OWN, Aspect, Known

from backends import load, pinned
from backends.native.data import Encoder, Tokens
from backends.native.findings import RowError
from backends.native.formats import Row
from compiler.report.matrix import markdown
from schemas.artifact import Target

TOOLS: Final[tuple[Target, ...]] = ("axolotl", "llamafactory")
TITLE: Final = "## Chat templates"
HEAD: Final = f"""\
{TITLE}

{{count}} conversations ({{shapes}}), in the chat templates of {{families}} model families
(tests/chat_templates) and in our own, are rendered with each tool's template for the family, by a tokenizer that has
the family's tokens. Compared are whether it is taken, the text, its tokens, and what of them is trained: by
LLaMA-Factory in its own template, by Axolotl in the model's. What differs stands in
tests/conformance/templates_known.py; anything else, and an entry that nothing needs, ends the command with 1.

"""
Sides = Mapping[str, Any]
Difference = tuple[str, str, Aspect]
"""Template, conversation, and what of it is not the same."""


class Compared(Struct, frozen=True):
    """What came of one tool. `new`: differences that are not known; `gone`: known ones that are none."""

    tool: Target
    templates: int
    cases: int
    found: frozenset[Difference]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def wrong(self) -> bool:
        return bool(self.new or self.gone)


def compare_templates(place: Path, tools: Iterable[str]) -> list[Compared]:
    """Every conversation in every template, by each of `tools` that has templates."""
    ours = {**corpus(), **{f"catalog/{name}": item for name, item in catalog().items()}}
    folders = {name: _save(template, place / "tokenizers" / name) for name, template in ours.items()}
    planned = {name: plan(template) for name, template in ours.items()}
    found: list[Compared] = []
    for tool in TOOLS:
        if tool in tools:
            install(BY_NAME[tool])
            theirs = render(tool, {name: ours[name] for name in _tried(tool, ours)}, folders, place)
            found.append(compare(tool, planned, theirs))
    return found


def _tried(tool: Target, ours: Iterable[str]) -> list[str]:
    """Axolotl trains in a template that it is given; LLaMA-Factory takes none but its own."""
    return [name for name in ours if tool == "axolotl" or name in OWN[tool]]


def _save(template: ChatTemplate, folder: Path) -> Path:
    make_tokenizer(template).save_pretrained(folder)
    return folder


def plan(template: ChatTemplate) -> dict[str, Sides]:
    """What the native target writes and trains of every conversation; the code where it refuses one."""
    tokenizer = make_tokenizer(template)
    rows = [Row(name, 1.0, shape.messages, shape.tools) for name, shape in SHAPES.items()]
    whole, answers = (Encoder(tokenizer, loss_on).encode(rows) for loss_on in ("all", "assistant"))
    return {
        str(row.place): _shown(text, answer, tokenizer) for (row, text), (_, answer) in zip(whole, answers, strict=True)
    }


def _shown(whole: Tokens | RowError, answers: Tokens | RowError, tokenizer: Any) -> Sides:
    if isinstance(whole, RowError):
        return {"refused": whole.code}
    found = whole if isinstance(answers, RowError) else answers
    shown = shown_pieces(found.ids, found.labels, tokenizer)
    return {**shown, "trained": None} if isinstance(answers, RowError) else shown


def render(
    tool: Target, templates: Mapping[str, ChatTemplate], folders: Mapping[str, Path], place: Path
) -> dict[str, Any]:
    """What the tool's own Python makes of them."""
    asked, answer = place / f"{tool}.json", place / f"{tool}.rendered.json"
    told = {
        "shapes": to_builtins(SHAPES),
        "templates": {
            name: {"folder": str(folders[name]), "theirs": OWN[tool].get(name), "end": template.end}
            for name, template in templates.items()
        },
    }
    asked.write_text(json.dumps(told), encoding="utf-8")
    around = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(HERE), ENVIRONMENT["PYTHONPATH"]])}
    command = [BY_NAME[tool].bin / "python", HERE / f"render_{tool}.py", asked, answer]
    subprocess.run(command, env=around, check=True)
    return json.loads(answer.read_text(encoding="utf-8"))


def compare(tool: Target, planned: Mapping[str, Any], theirs: Mapping[str, Any]) -> Compared:
    """Differences, against those that are known."""
    seen: dict[Difference, str] = {}
    for name, item in theirs.items():
        if item["added"]:
            seen[name, "*", "vocabulary"] = f"{item['added']} tokens are added"
        for kind, found in item["shapes"].items():
            seen.update({(name, kind, aspect): said for aspect, said in differences(planned[name][kind], found)})
    known = {key for entry in KNOWN[tool] for key in _covered(entry)}
    new = tuple(f"{_said(key)}: {said}" for key, said in seen.items() if key not in known)
    gone = tuple(f"{_said(key)}: known to differ, and does not" for key in sorted(known - seen.keys()))
    return Compared(tool, len(theirs), len(theirs) * len(SHAPES), frozenset(seen), new, gone)


def _said(key: Difference) -> str:
    name, kind, aspect = key
    return f"{aspect} {name} {kind}"


def _covered(entry: Known) -> Iterator[Difference]:
    return ((name, kind, entry.aspect) for name in entry.templates for kind in entry.shapes)


def differences(ours: Sides, theirs: Sides) -> Iterator[tuple[Aspect, str]]:
    """What is not the same of one conversation. Where what is rendered is what is trained, a refusal says all."""
    rendered = "text" in theirs or "refused" in theirs
    if rendered and ("text" in ours) != ("text" in theirs):
        yield "taken", f"ftc {ours.get('refused', 'takes it')}, it {theirs.get('refused', 'takes it')}"
        if "ids" in theirs:
            return
    elif rendered and "text" in ours and ours["text"] != theirs["text"]:
        yield "text", _apart(ours["text"], theirs["text"])
    elif "text" in ours and "ids" in theirs and ours["ids"] != theirs["ids"]:
        yield "tokens", f"{ours['ids']} and {theirs['ids']}"
    if "trained" in theirs and ours.get("trained") != theirs["trained"]:
        yield "trained", _apart(repr(ours.get("trained")), theirs.get("why") or repr(theirs["trained"]))


def _apart(one: str, two: str) -> str:
    """Two texts from just before the place where they part."""
    at = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return f"{one[max(0, at - 20) : at + 60]!r} and {two[max(0, at - 20) : at + 60]!r}"


def report_templates(found: Iterable[Compared]) -> None:
    """A line for each tool, and one for each difference that is not known, or known and none."""
    for item in found:
        for line in (*item.new, *item.gone):
            print(f"{item.tool:13} {line}")
        print(
            f"{item.tool}: {item.templates} chat templates, {item.cases} conversations, {len(item.found)} differences"
        )


def section(found: Iterable[Compared]) -> str:
    """The page's part about them."""
    parts = [HEAD.format(count=len(SHAPES), shapes=", ".join(SHAPES), families=len(corpus()))]
    for item in found:
        parts.append(f"### {load(item.tool).TITLE} {pinned(item.tool)}\n\n")
        parts.append(f"{item.cases} conversations in {item.templates} templates. Not the same:\n\n")
        parts.append(markdown(["what", "in which templates", "of which conversations", "why"], _lines(item.tool)))
        parts.append("\n")
    return "".join(parts)


def _lines(tool: Target) -> Iterator[list[str]]:
    """One for each reason and what it is about; templates under both names."""
    lines: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for entry in KNOWN[tool]:
        lines[entry.aspect, ", ".join(entry.shapes), entry.why] += [_named(tool, name) for name in entry.templates]
    for (aspect, shapes, why), names in sorted(lines.items()):
        yield [aspect, ", ".join(sorted(names)), shapes, why]


def _named(tool: Target, name: str) -> str:
    theirs = OWN[tool].get(name)
    return f"{name} ({theirs})" if theirs and theirs != name else name
