"""What the three tool targets write alike: YAML, a config's header, and the whole artifact around it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from os.path import relpath
from pathlib import Path
from shlex import join
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from backends.alike import DIFFERS, job, suffixes
from backends.beside import scripts
from backends.native import READS
from backends.raw_keys import TOOLS, raw_keys, raw_of
from backends.raw_keys import Tool as Configured
from backends.release import Release, Spoken, spoken
from backends.yaml_text import Chapter, plain, yaml_document
from schemas.artifact import Artifact, Preparation, Step, Target
from schemas.diagnostic import Finding
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.plan import Plan, leaves
from schemas.version import VERSION


class Tool(Struct, frozen=True):
    """A target as its artifacts name it: `version` is `package==version`. `other`: the version alone, where it is
    another one than the tested."""

    target: Target
    title: str
    version: str
    other: str | None = None

    def at(self, release: Release | None) -> Tool:
        """The tool in that version; None: in the tested one."""
        if release is None:
            return self
        package = self.version.partition("==")[0]
        return replace(self, version=f"{package}=={release.version}", other=release.version)


class Made(Struct, frozen=True):
    """What a target alone knows of its artifact. `steps`: training, and what comes after it. `rows`: what ftc writes
    before. `extras`: words of the plan that may need a package. `remarks`: paragraphs for the README. `paired`: whether
    the tool takes pairs of turns alone."""

    body: str
    files: dict[str, str]
    steps: tuple[Step, ...]
    rows: Preparation | None = None
    extras: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    paired: bool = False


RUN: Final = "run.sh"
COMMAND: Final = ("sh", RUN)
PREPARES: Final = ("prepare.py", *READS)


def artifact(tool: Tool, plan: Plan, made: Made, footprint: Footprint | None, lost: Sequence[Finding]) -> Artifact:
    """The target's files with `run.sh`, pinned requirements and a README. Rows on the hub are fetched by the run."""
    fetched = made.rows if made.rows and not made.rows.local else None
    steps = (Step(("python", "prepare.py")), *made.steps) if fetched else made.steps
    files = {
        **made.files,
        **(_fetching(fetched) if fetched else {}),
        RUN: run_script(tool, plan, steps),
        "requirements.txt": requirements(tool, (*made.extras, *(suffixes(plan) if fetched or not made.rows else ()))),
        "README.md": readme(tool, plan, footprint, lost, steps, remarks=made.remarks),
    }
    rows = None if fetched else made.rows
    return Artifact(tool.target, made.body, files, COMMAND, rows, tool.other, made.paired, steps)


def _fetching(rows: Preparation) -> dict[str, str]:
    return {**scripts(PREPARES), "prepare.json": json.dumps(job(rows), indent=2, ensure_ascii=False) + "\n"}


def run_script(tool: Tool, plan: Plan, steps: Sequence[Step]) -> str:
    """`run.sh`: an environment of its own the first time, then the tool's own commands."""
    return RUN_SH.format(name=plan.name, title=tool.title, steps="\n".join(map(shell_line, steps)))


def shell_line(step: Step) -> str:
    """A step as a shell reads it; every value is quoted where it must be."""
    named = [f"{name}={value}" for name, value in step.environment.items()]
    return join(["env", *named, *step.words] if named else step.words)


RUN_SH: Final = """\
#!/bin/sh
# {name}, with {title}: makes an environment beside this file the first time, then trains in it.
# VENV=/path uses an environment that is there already; PYTHON=python3.12 makes a new one with that Python.
set -eu
if [ -n "${{VENV:-}}" ]; then
    [ -x "$VENV/bin/python" ] || {{ echo "VENV=$VENV has no bin/python" >&2; exit 1; }}
    VENV=$(cd -- "$VENV" && pwd)
fi
cd -- "$(dirname -- "$0")"
if [ -z "${{VENV:-}}" ]; then
    VENV=$PWD/.venv
    if ! cmp -s requirements.txt "$VENV/requirements.txt"; then
        "${{PYTHON:-python3}}" -m venv "$VENV"
        "$VENV/bin/python" -m pip install -r requirements.txt
        cp requirements.txt "$VENV/requirements.txt"
    fi
fi
PATH=$VENV/bin:$PATH
export PATH
{steps}
"""


def config_text(
    tool: Tool,
    plan: Plan,
    chapters: Sequence[Chapter],
    keys: Mapping[str, object],
    lost: Sequence[Finding],
    *,
    raw: Mapping[str, object],
) -> str:
    """The tool's YAML: a header, the keys under the titles of their chapters, and `raw` keys last, as they are."""
    title = f"Raw keys: targets.{tool.target} of the recipe, as they stand there"
    ours = [(named, [name for name in names if name not in raw]) for named, names in chapters]
    return yaml_document(comment(head_lines(tool, plan, lost)), [*ours, (title, list(raw))], {**keys, **raw})


def config_keys(target: Configured, told: Mapping[str, object], plan: Plan, release: Release | None) -> Spoken:
    """A config's keys with its output folder, in that version's words; None: the tested version's."""
    placed = {**told, "output_dir": out_folder(target, plan, release.version if release else None)}
    if release is None:
        return Spoken(placed)
    known = raw_keys(target)
    return spoken(placed, release, plan, {**known.owners, **dict.fromkeys(known.fixed, "name")})


def head_lines(tool: Tool, plan: Plan, lost: Sequence[Finding]) -> list[str]:
    """What a reader of the config must know first: where it comes from, how to run it, what differs from the recipe."""
    lines = [
        f'Generated by ftc {VERSION} from the recipe "{plan.name}", for {tool.title} ({tool.version}).',
        "Change the recipe rather than this file. Run it in this folder:",
        f"  {join(COMMAND)}",
    ]
    if tool.other:
        lines.append(f"ftc knows the keys of this version, and is tested with another one: {UNTESTED}")
    dropped, differs = parted(lost)
    if dropped:
        lines += ["", NOT_EQUIVALENT, *(f"  {_one_line(item.message)}" for item in dropped)]
    if differs:
        lines += ["", f"What {tool.title} does differently:", *(f"  {_one_line(item.message)}" for item in differs)]
    return lines


def parted(lost: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What is left out, so that the artifact is not equivalent to the recipe; what is done a little differently."""
    differs = [item for item in lost if item.level == "warning" and item.code == DIFFERS]
    return [item for item in lost if item not in differs], differs


UNTESTED: Final = "compare its first steps with it."
NOT_EQUIVALENT: Final = "NOT EQUIVALENT to the recipe. Lost on the way, by --allow-lossy or --drop-raw:"


def comment(lines: Sequence[str]) -> str:
    """The lines as a comment of YAML or Python."""
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _one_line(text: str) -> str:
    """What no comment may hold is written as an escape."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(text.split()))


DECIDING: Final = ("model.", "method.", "data.", "training.", "hardware.count", "hardware.strategy")
"""Leaves that decide what is learned: a checkpoint of other values of theirs is one of another run. Raw keys may
decide anything."""

PLACES: Final = ("base", "tokenizer", "chat_template", "path")
"""Leaves that may hold an absolute path."""


def out_folder(target: Target, plan: Plan, version: str | None = None) -> str:
    """Where this tool puts this plan's results. The tools resume whatever checkpoint they find in their folder, so
    each has one of its own for each plan, and for each `version` but the tested one: a changed learning rate starts
    anew, the same plan goes on."""
    named = f"{target}-{version}" if version else target
    return f"{plan.output.dir}/{named}-{fingerprint(plan)}"


def fingerprint(plan: Plan) -> str:
    """Eight hexadecimal digits that stand for what is learned, wherever the project's folder lies."""
    deciding = {path: _portable(path, value, plan) for path, value in leaves(plan).items() if path.startswith(DECIDING)}
    deciding |= {f"targets.{tool}": raw for tool in TOOLS if (raw := raw_of(tool, plan))}
    return sha256(json.dumps(plain(deciding), sort_keys=True).encode()).hexdigest()[:8]


def _portable(path: str, value: object, plan: Plan) -> object:
    """Paths as seen from the output folder, which lies beside the recipe: they stay the same in another checkout."""
    named = path.rsplit(".", 1)[-1] in PLACES and isinstance(value, str) and Path(value).is_absolute()
    return Path(relpath(str(value), plan.output.dir)).as_posix() if named else value


def readme(
    tool: Tool,
    plan: Plan,
    footprint: Footprint | None,
    lost: Sequence[Finding],
    steps: Sequence[Step],
    *,
    remarks: Sequence[str] = (),
) -> str:
    """The README beside the config. `remarks`: what a reader of it should know, a paragraph each."""
    dropped, differs = (_notes(items) for items in parted(lost))
    tested = f" ftc knows its keys, and is tested with another version: {UNTESTED}" if tool.other else ""
    return (
        f"# {plan.name}, for {tool.title}\n\n"
        f"Written by ftc for {tool.version}.{tested} In this folder:\n\n"
        f"```\n{join(COMMAND)}\n```\n\n"
        "The first time it makes an environment (`.venv`) from `requirements.txt`; then it runs:\n\n"
        f"```\n{''.join(shell_line(step) + chr(10) for step in steps)}```\n\n"
        f"Results go to `{out_folder(tool.target, plan, tool.other)}`. The name holds a checksum of the model, method, "
        "data and training: with any of them changed, a run starts anew.\n"
        + "".join(f"\n{remark}\n" for remark in remarks)
        + (f"\n{NOT_EQUIVALENT}\n\n{dropped}" if dropped else "")
        + (f"\nWhat {tool.title} does differently:\n\n{differs}" if differs else "")
        + (f"\nMemory: {_memory(footprint)}.\n" if footprint else "")
        + (f"\n{_cards(plan)}\n" if plan.hardware.gpu != "cpu" else "")
    )


def _notes(items: Sequence[Finding]) -> str:
    return "".join(f"- {_one_line(item.message)}\n" for item in items)


def by_hand(words: Sequence[str]) -> str:
    """What the README says of a command that is left to the reader, in the environment that `run.sh` made."""
    return f"Merge afterwards, on the machine that has the results: `PATH=$PWD/.venv/bin:$PATH {join(words)}`."


def _memory(footprint: Footprint) -> str:
    need = f"{footprint.device / GIB:.1f} GiB, between {footprint.low / GIB:.1f} and {footprint.high / GIB:.1f}"
    return f"{need}, of {footprint.capacity / GIB:.1f} GiB a card" if footprint.capacity else f"{need}, of each card"


def _cards(plan: Plan) -> str:
    count, nodes = plan.hardware.count, plan.hardware.nodes
    each = f" on each of {nodes} machines" if nodes > 1 else ""
    return (
        f"The batch size counts on {count} GPU{'s' if count > 1 else ''}{each}: on a machine with more, let "
        "`CUDA_VISIBLE_DEVICES` name those to use."
    )


def requirements(tool: Tool, words: Sequence[str]) -> str:
    """The tool's version, one requirement a line, and what the plan needs beyond it: trackers, kernels."""
    from backends.native import EXTRAS

    name = f"{tool.target}-{tool.other}" if tool.other else tool.target
    pinned = (Path(__file__).parent / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    asked = {**EXTRAS, **OWN.get(tool.target, {})}
    return pinned + "".join(f"{asked[word]}\n" for word in dict.fromkeys(words) if word in asked)


OWN: Final[dict[Target, dict[str, str]]] = {
    "axolotl": {"trackio": "trackio==0.19.0"},
    "llamafactory": {"deepspeed": "deepspeed==0.16.9", "adamw_4bit": "torchao==0.17.0"},
}
"""Versions that resolve beside the tool's pins, and those that only it wants: llamafactory/requirements/deepspeed.txt;
and its peft looks for a class that torchao 0.18 has not (peft/tuners/lora/torchao.py,
`LinearActivationQuantizedTensor`), so no adapter could be made."""
