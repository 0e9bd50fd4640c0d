"""The example configs of Axolotl and LLaMA-Factory through `ftc import`: `make imports`.

Each file is imported, or refused at a line. What is imported is built for its tool again, and both configs go through
the tool's own parser: what they come to must be the same where nothing is said to be lost. The examples are those of
the tested versions' own source packages; they are fetched, and none is part of this project.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

HERE: Final = Path(__file__).resolve().parent
CONFORMANCE: Final = HERE.parent / "conformance"
sys.path.insert(0, str(CONFORMANCE))

from environments import BY_NAME, ENVIRONMENT, install  # noqa: E402
from msgspec import Struct, field  # noqa: E402
from page import write_page  # noqa: E402
from values import meaning  # noqa: E402
from worker import REPORT, TOLD  # noqa: E402

from backends import load, pinned  # noqa: E402
from compiler.build import Options, compile_recipe  # noqa: E402
from compiler.importing.importing import ABSENT, Asked, Imported, Remark, import_config  # noqa: E402
from schemas.artifact import Target  # noqa: E402

PLACE: Final = HERE.parent.parent / "build" / "imports"
STAND_IN: Final = "meta-llama/Llama-3.2-1B-Instruct"
"""For a base that is not known here: its name does not matter to what is compared."""
REFUSED_BY_TOOL: Final = "the tool itself does not take it"
LEAST: Final = 0.85
"""The share of keys that must be carried."""
TOOLS: Final[tuple[Target, ...]] = ("axolotl", "llamafactory")


class File(Struct):
    """An example and what became of it. `differs`: fields of which the round trip makes something else."""

    name: str
    made: Imported
    built: str | None = None
    stood_in: bool = False
    why: str = ""
    differs: dict[str, tuple[Any, Any]] | None = None

    @property
    def excused(self) -> bool:
        """Whether there can be no round trip: the tool does not take its own example, or the base is not known here and
        the one in its place has other layers."""
        return self.why.startswith(REFUSED_BY_TOOL) or (self.stood_in and self.built is None)


class Result(Struct):
    """A tool's examples. `broken`: files that are no YAML mapping, which have no keys."""

    tool: Target
    version: str
    files: list[File] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[File]:
        """Those that are imported `whole`, with `losses`, or are `refused`."""
        return [item for item in self.files if kind_of(item.made) == kind]

    @property
    def imported(self) -> list[File]:
        return [*self.of("whole"), *self.of("losses")]

    @property
    def keys(self) -> tuple[int, int, int]:
        """Of what is imported: keys that are carried, keys with a value, keys without one."""
        readings = [item.made.reading for item in self.imported]
        return (
            sum(len(reading.carried()) for reading in readings),
            sum(len(reading.said) for reading in readings),
            sum(len(reading.empty) for reading in readings),
        )

    def wrong(self) -> list[str]:
        """What must not be."""
        carried, said, _ = self.keys
        found = [f"{self.tool}: {carried / said:.1%} of keys are carried"] if carried < LEAST * said else []
        found += [f"{item.name}: {name} is not named" for item in self.imported for name in unnamed(item.made)]
        found += [f"{item.name}: refused without a line" for item in self.of("refused") if not errors(item.made)]
        for item in self.of("whole"):
            found += [f"{item.name}: {name} {values}" for name, values in (item.differs or {}).items()]
            found += [f"{item.name}: not built back: {item.why}"] if item.differs is None and not item.excused else []
        return found


def kind_of(made: Imported) -> str:
    """Whole, with losses, or refused."""
    return "refused" if made.text is None else "whole" if made.whole else "losses"


def errors(made: Imported) -> list[Remark]:
    """Why it is refused."""
    return [item for item in made.remarks if item.level == "error" and item.span.line > 0]


def unnamed(made: Imported) -> list[str]:
    """Keys that are neither carried nor said to be left."""
    carried, named = made.reading.carried(), {item.key for item in made.reading.left}
    return [
        key
        for key in made.reading.said
        if key not in carried and not any(key == name or key.startswith((f"{name}.", f"{name}[")) for name in named)
    ]


def main() -> int:
    """1 where a file is neither imported nor refused at a line, too little is carried, or a round trip differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    for tool in TOOLS:
        parser.add_argument(f"--{tool}", type=Path, help=f"a checkout of {tool}; else its source package is fetched")
    parser.add_argument("--no-tools", action="store_true", help="do not look at round trips")
    parser.add_argument("--only", default="", help="only files whose name has this pattern in it")
    asked = parser.parse_args()
    results: list[Result] = []
    for tool in TOOLS:
        root = getattr(asked, tool) or fetched(tool)
        results.append(imported(tool, root.resolve(), asked.only))
        if not asked.no_tools:
            with TemporaryDirectory(prefix="ftc-imports-") as scratch:
                round_trips(results[-1], root.resolve(), Path(scratch))
        report(results[-1])
    wrong = [line for result in results for line in result.wrong()]
    print("\n".join(wrong))
    if not wrong and not asked.only and not asked.no_tools:
        write_page(results)
    return int(bool(wrong))


def fetched(tool: Target) -> Path:
    """The tested version's source package, unpacked."""
    folder = PLACE / f"{tool}-{pinned(tool)}"
    if not folder.is_dir():
        PLACE.mkdir(parents=True, exist_ok=True)
        asked = ["download", "-q", "--no-deps", "--no-binary", tool, "-d", str(PLACE), load(tool).VERSION]
        subprocess.run([sys.executable, "-m", "pip", *asked], check=True)
        with tarfile.open(next(PLACE.glob(f"{tool}-*.tar.gz"))) as archive:
            archive.extractall(PLACE, filter="data")
    return folder


def imported(tool: Target, root: Path, only: str) -> Result:
    """Every example through `ftc import`, from the folder that its tool is started in."""
    os.chdir(root)
    result = Result(tool, pinned(tool))
    for path in sorted((root / "examples").rglob("*.y*ml")):
        name = path.relative_to(root).as_posix()
        if not re.search(only, name):
            continue
        made = import_config(name, path.read_text(encoding="utf-8"), Asked(root, tool))
        if isinstance(made, Imported):
            result.files.append(File(name, made))
        else:
            result.broken.append(f"{name}:{made[0].span.line}: {made[0].message}")
    return result


def round_trips(result: Result, root: Path, scratch: Path) -> None:
    """Recipe → config again; both through the tool's own parser."""
    install(BY_NAME[result.tool])
    folders: list[Path] = []
    for number, item in enumerate(result.imported):
        item.built = built(result.tool, item, root)
        for what, text in (("theirs", (root / item.name).read_text(encoding="utf-8")), ("ours", item.built)):
            if text is not None and item.built is not None:
                folders.append(_folder(scratch / str(number) / what, text, root, item))
    read(result.tool, folders)
    for number, item in enumerate(result.imported):
        if item.built is not None:
            _compared(result.tool, item, scratch / str(number))


def built(tool: Target, item: File, root: Path) -> str | None:
    """The config that the recipe becomes; None, with the reason, where it is refused."""
    compiled = item.made.compiled
    absent = compiled is not None and any(one.code == "FTC011" for one in compiled.diagnostics)
    item.stood_in = absent
    sets = (f"model.base={STAND_IN}",) if absent else ()
    options = Options(target=tool, emit=True, ignore_memory=True, sets=sets)
    found = compile_recipe("recipe", item.made.text or "", root, options)
    if found.artifact is None:
        wrong = [one for one in found.diagnostics if one.level == "error" and one.code not in ABSENT]
        item.why = "; ".join(sorted({f"{one.code} {one.path}" for one in wrong}))
        return _without_files(found.plan, tool) if not wrong else None
    return found.artifact.files[found.artifact.body]


def _without_files(plan: Any, tool: Target) -> str | None:
    """Only data are missing, which no config has in it."""
    if plan is None:
        return None
    artifact = load(tool).emit(plan, None, ())
    return artifact.files[artifact.body]


def _folder(folder: Path, text: str, root: Path, item: File) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    (folder / TOLD).write_text("{}", encoding="utf-8")
    for name in ("deepspeed_configs", "examples", "data"):
        if (root / name).is_dir():
            (folder / name).symlink_to(root / name)
    (folder / "deepspeed.json").write_text(json.dumps({"zero_optimization": {"stage": 3}, "bf16": {"enabled": True}}))
    del item
    return folder


def read(target: Target, folders: Iterable[Path]) -> None:
    """The tool's own Python looks at every folder; a report is left in each."""
    tool = BY_NAME[target]
    paths = [str(HERE), str(CONFORMANCE), ENVIRONMENT["PYTHONPATH"]]
    told = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run([tool.bin / "python", HERE / f"effective_{target}.py", *folders], env=told, check=True)


def _compared(tool: Target, item: File, folder: Path) -> None:
    reports = []
    for what in ("theirs", "ours"):
        file = folder / what / REPORT
        found = json.loads(file.read_text("utf-8")) if file.is_file() else {"wrong": ["no answer in time"]}
        if found.get("wrong"):
            item.why = f"{REFUSED_BY_TOOL if what == 'theirs' else 'the tool does not take ours'}: {found['wrong'][0]}"
            return
        reports.append(meaning(tool, found["effective"]))
    theirs, ours = reports
    leaves = item.made.reading.leaves
    skipped = {"base"} if item.stood_in else set[str]()
    template = leaves.get("model.chat_template")
    if template and any(key.endswith(".type") for key in template.keys):
        skipped.add("template")  # the type of the rows writes it
    targets = leaves.get("method.target_modules")
    if targets and targets.value == "all-linear" and theirs.get("modules") == "all":
        skipped.add("modules")  # ftc names them, one by one
    item.differs = {
        name: (theirs[name], ours.get(name))
        for name in theirs
        if name not in skipped and not _alike(theirs[name], ours.get(name))
    }


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, float | int) and isinstance(right, float | int) and not isinstance(left, bool):
        return abs(left - right) <= 1e-6 * max(abs(left), abs(right))
    return left == right


def report(result: Result) -> None:
    """A line for each file, and the sum."""
    for item in result.files:
        where = errors(item.made)
        why = f"{where[0].span.line}:{where[0].span.column} {where[0].message}" if where else ""
        back = "" if item.differs is None else "the same" if not item.differs else f"differs: {item.differs}"
        print(f"{result.tool:13}{kind_of(item.made):9}{item.name:70} {why or back or item.why}"[:400])
    carried, said, empty = result.keys
    sums = Counter(kind_of(item.made) for item in result.files)
    print(
        f"{result.tool}: {dict(sums)}, {carried} of {said} keys carried ({carried / max(said, 1):.1%}), {empty} empty"
    )
    print("\n".join(result.broken))


if __name__ == "__main__":
    raise SystemExit(cast(int, main()))
