"""Write what the documents repeat from the code: support matrix, codes, the editor's schema, the site's reference.

python docs/generate.py           # write
python docs/generate.py --check   # fail where something is not up to date
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from catalog_reference import gpus_page, models_page
from choosing_tables import choosing_blocks
from command_reference import commands_page
from providers_reference import hosted_page
from recipe_reference import recipe_pages

from backends.base import spelled
from backends.release import release
from compiler.codes import Page, pages
from compiler.editor_files import schema_text
from compiler.report.matrix import Column, columns, markdown_leaves, markdown_values, words_text
from schemas.artifact import Target

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
FTC = (sys.executable, "-m", "compiler.cli")
COMMANDS = {
    "mistake": ("ftc validate docs/examples/mistakes.ftc.yaml",),
    "memory": (
        "ftc validate recipes/llama3-8b-qlora-t4.ftc.yaml",
        "ftc validate recipes/llama3.1-70b-qlora-rtx4090.ftc.yaml",
    ),
    "data": ("ftc data docs/examples/data.ftc.yaml --rows 1",),
    "plan": ("ftc plan recipes/llama3-8b-qlora-t4.ftc.yaml | grep '#'",),
}
"""What the README shows of the command line: block → commands."""
NOTE = "<!-- Written by docs/generate.py. -->\n"
BOOSTED = "---\nsearch: {boost: 3}\n---\n\n"
"""Who searches for a leaf's name finds the leaf first."""


VERSIONS = """\
`ftc build --target axolotl@0.17` builds for another version of a tool that ftc knows: keys are checked against a list
that was read out of that version, renames are followed, and what it cannot do is refused. Its pins resolve; training is
tested with the tested versions, which the tables below are of.
"""
RAW_KEYS = """
What the language leaves out can be said under `targets.axolotl` and `targets.llamafactory`: these keys are checked
against the same lists and written last, as they stand. `ftc explain FTC410` and the four codes after it say which are
refused.

"""


def targets_page(across: tuple[Column, ...]) -> str:
    """docs/targets.md."""
    tools = "".join(_tool(column) for column in across)
    return (
        f"{NOTE}# What each target can do\n\n{tools}\n{VERSIONS}{RAW_KEYS}"
        "A recipe that asks for something a target does not do is refused at that line; with `--allow-lossy` it is "
        "built without, and the artifact says so. Some combinations are refused although each part alone can be "
        "done.\n\n"
        f"{markdown_values(across)}\n{words_text()}\n"
        f"## Every leaf of the plan, and what the target calls it\n\n{markdown_leaves(across)}"
    )


def _tool(column: Column) -> str:
    also = ", ".join(f"`{name}`" for name in column.asked)
    known = f"; also known: {also}" if also else ""
    return f"- {column.target}: {column.title}, tested with `{column.version}`{known}\n" + "".join(
        f"    - {version}: {line}\n" for version in column.others for line in _limits(column.target, version)
    )


def _limits(target: Target, version: str) -> list[str]:
    """What a version cannot do, or does otherwise, and what it calls by another name."""
    found = release(target, version)
    refused = [f"refused, `{item.leaf}`: {item.why}" for item in found.refused]
    differs = [f"different, `{item.leaf}`: {item.why}" for item in found.differs]
    renames = [
        f"renamed, `{key}`: `{new.to}`" + (f" for a {new.of}" if new.of else "") for key, new in found.renames.items()
    ]
    values = [
        f"renamed, `{key}: {json.loads(ours)}`: `{key}: {spelled(theirs)}`"
        for key, changed in found.values.items()
        for ours, theirs in changed.items()
    ]
    return [*refused, *differs, *renames, *values]


def codes_page() -> str:
    """docs/codes.md."""
    return (
        f"{NOTE}# Codes\n\n`ftc explain CODE` shows the same.\n\n"
        "FTC0xx: the text. 1xx: its shape. 2xx: what does not go together. 3xx: memory. 4xx: what a target cannot do. "
        "5xx: data. 6xx: running.\n" + "".join(_code(page) for page in pages().values())
    )


def _code(page: Page) -> str:
    examples = "".join(
        f"\n{name}:\n\n```yaml\n{text.strip()}\n```\n"
        for name, text in (("Bad", page.bad), ("Good", page.good))
        if text
    )
    return (
        f'\n<a id="{page.code}"></a>\n'
        + f"\n## {page.code}: {page.title}\n\n{page.word.capitalize()}. {page.text}\n{examples}"
    )


def decisions_page() -> str:
    """docs/decisions/index.md."""
    titles = (
        (path.name, re.sub(r"^# (\d+\. )?", "", path.read_text(encoding="utf-8").partition("\n")[0]))
        for path in sorted((DOCS / "decisions").glob("0*.md"))
    )
    return (
        f"{NOTE}# Decisions\n\nWhat was costly to decide, and why it was decided so, in the order of time. A later one "
        "may overrule an earlier one; none is rewritten.\n\n"
        + "".join(f"- {name[:4]} [{title}]({name})\n" for name, title in titles)
    )


def readme(across: tuple[Column, ...]) -> str:
    """README.md with its generated blocks as they are now."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = _filled(text, "matrix", markdown_values(across))
    for name, commands in COMMANDS.items():
        text = _filled(text, name, "```text\n" + "\n".join(f"$ {line}\n{_output(line)}" for line in commands) + "```\n")
    return text


def choosing() -> str:
    """docs/choosing.md with its tables as they are now."""
    text = (DOCS / "choosing.md").read_text(encoding="utf-8")
    for name, content in choosing_blocks():
        text = _filled(text, name, content)
    return text


def _filled(text: str, name: str, content: str) -> str:
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return block.sub(lambda found: found[1] + content + found[2], text)


def _output(line: str) -> str:
    """What a command prints; after `|`, only its lines with that word."""
    command, _, word = line.partition(" | grep ")
    arguments = [*FTC, *shlex.split(command)[1:]]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return "".join(row for row in printed.splitlines(keepends=True) if word.strip("'") in row)


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file, and what it should say."""
    across = columns()
    yield ROOT / "docs" / "targets.md", targets_page(across)
    yield ROOT / "docs" / "codes.md", codes_page()
    yield ROOT / "README.md", readme(across)
    yield ROOT / "editors" / "recipe.schema.json", schema_text()
    yield DOCS / "choosing.md", choosing()
    yield DOCS / "decisions" / "index.md", decisions_page()
    yield DOCS / "reference" / "commands.md", f"{NOTE}{commands_page()}"
    yield DOCS / "reference" / "models.md", f"{NOTE}{models_page()}"
    yield DOCS / "reference" / "hosted.md", f"{NOTE}{hosted_page()}"
    yield DOCS / "reference" / "gpus.md", f"{NOTE}{gpus_page()}"
    for name, text in recipe_pages(across):
        yield DOCS / "reference" / "recipe" / name, f"{BOOSTED}{NOTE}{text}"


def main() -> int:
    found = dict(generated())
    stale = [path for path, text in found.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" not in sys.argv[1:]:
        for path in stale:
            path.write_text(found[path], encoding="utf-8")
        return 0
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not up to date: run `make docs`", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
