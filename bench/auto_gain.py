# pyright: basic
"""`auto` against the tools' own example settings, by the throughput model.

    python bench/auto_gain.py [--page]

Every example of Axolotl's and LLaMA-Factory's source packages (fetched as `make imports` does; none is part of this
project) that imports as a recipe for one card and whose base is known here. Its own micro batch, checkpointing, loss
and kernels are kept, or left to `auto`; all else is as in the example: rows of a step, length, rank, optimizer,
attention, packing. The card is the smallest of a few on which the example fits as it is. `--page` writes
docs/auto-gain.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean, median

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "imports"), str(ROOT)]

from run import fetched, imported  # noqa: E402

from backends import pinned  # noqa: E402
from compiler.check import check  # noqa: E402
from compiler.hardware import find_gpu  # noqa: E402
from compiler.memory import weigh  # noqa: E402
from compiler.models import find_model  # noqa: E402
from compiler.overrides import override  # noqa: E402
from compiler.report.plan_text import setting  # noqa: E402
from compiler.resolve import Draft, resolve  # noqa: E402
from compiler.resolve.ground import Ground  # noqa: E402
from compiler.solve import solve  # noqa: E402
from compiler.source import parse  # noqa: E402
from compiler.throughput import pace  # noqa: E402
from schemas.artifact import Target  # noqa: E402
from schemas.facts import GIB, Gpu, ModelFacts  # noqa: E402
from schemas.plan import Plan, leaf  # noqa: E402

CARDS = ("t4", "l4", "rtx-4090", "a100-40gb", "a100-80gb", "h200")
LEFT = (
    "training.micro_batch_size",
    "training.gradient_checkpointing",
    "training.loss",
    "training.kernels",
    "evaluation.batch_size",
)
"""What is left to the compiler."""


class Gain(Struct, frozen=True):
    """`gain`: tokens a second with `auto` over those of the example, of which 1 is no difference. `changed`: leaf →
    what the example has and what `auto` chose."""

    tool: Target
    name: str
    base: str
    card: str
    gain: float
    before_gib: float
    after_gib: float
    changed: dict[str, tuple[object, object]]


def gains(tool: Target) -> Iterator[Gain]:
    """One for each example that can be compared, in the order of their names."""
    root = fetched(tool).resolve()
    for item in imported(tool, root, "").imported:
        found = gain(tool, item.name.removeprefix("examples/"), item.made.text or "", root)
        if found:
            yield found


def gain(tool: Target, name: str, text: str, folder: Path) -> Gain | None:
    """None for a base that is not known here, several cards, or what fits none of the cards."""
    for card in CARDS:
        before = drafted(tool, text, folder, (f"hardware.gpu={card}", "~hardware.memory"))
        if before is None or before.plan.devices > 1:
            return None
        example = solve(before.plan, before.open, tool, tool)
        if weigh(example, tool).verdict == "fits":
            left = tuple(f"{path}=auto" for path in LEFT)
            after = drafted(tool, text, folder, (f"hardware.gpu={card}", "~hardware.memory", *left))
            return after and _compared(tool, name, card, example, solve(after.plan, after.open, tool, tool))
    return None


def drafted(tool: Target, text: str, folder: Path, sets: tuple[str, ...]) -> Draft | None:
    """The recipe with these leaves, its rows not looked for: examples name files and sets of the hub."""
    recipe = check(override(parse(text, "recipe"), sets)).recipe
    facts = find_model(recipe.model.base, folder, online=False) if recipe else None
    gpu = find_gpu(recipe.hardware.gpu) if recipe and recipe.hardware.gpu else None
    if recipe is None or not isinstance(facts, ModelFacts) or not isinstance(gpu, Gpu):
        return None
    return resolve(Ground(recipe, facts, gpu, folder, tool))


def _compared(tool: Target, name: str, card: str, before: Plan, after: Plan) -> Gain:
    changed = {
        path: (leaf(before, path), leaf(after, path)) for path in LEFT if leaf(before, path) != leaf(after, path)
    }
    return Gain(
        tool=tool,
        name=name,
        base=before.facts.name,
        card=card,
        gain=pace(before, tool) / pace(after, tool),
        before_gib=weigh(before, tool).high / GIB,
        after_gib=weigh(after, tool).high / GIB,
        changed=changed,
    )


HEAD = """\
# What `auto` gains

Written by `bench/auto_gain.py --page`, by the throughput model (how far it may be off: [speed](speed-accuracy.md)): the
examples of the tools themselves, with the micro batch, checkpointing, loss and kernels that they have, and with these
left to `auto`. All else is as in the example: rows of a step, length, rank, optimizer, attention, packing. The card is
the smallest of {cards} on which the example fits as it is. **gain**: tokens a second over those of the example.

"""


def page(found: list[Gain]) -> str:
    """docs/auto-gain.md."""
    parts = [HEAD.format(cards=", ".join(CARDS))]
    for tool in ("axolotl", "llamafactory"):
        rows = [item for item in found if item.tool == tool]
        parts.append(f"## {tool} {pinned(tool)}, {len(rows)} examples\n\n{said(rows)}\n\n")
        parts.append("| example | base | card | gain | GiB, before | GiB, after | what changed |\n")
        parts.append("| --- | --- | --- | ---: | ---: | ---: | --- |\n")
        parts += [_row(item) for item in rows]
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def said(rows: list[Gain]) -> str:
    """The gains in one sentence."""
    values = [item.gain for item in rows]
    faster = sum(value > 1.01 for value in values)
    return (
        f"{faster} of {len(values)} are faster; the gain is {median(values):.2f} in the median, "
        f"{geometric_mean(values):.2f} in the mean, {min(values):.2f} at least and {max(values):.2f} at most."
    )


def _row(item: Gain) -> str:
    changed = "; ".join(
        f"{path.rpartition('.')[2]} {setting(path, old)} → {setting(path, new)}"
        for path, (old, new) in item.changed.items()
        if path != "evaluation.batch_size"
    )
    sizes = f"{item.before_gib:.1f} | {item.after_gib:.1f}"
    return f"| {item.name} | {item.base} | {item.card} | {item.gain:.2f} | {sizes} | {changed or 'nothing'} |\n"


def main() -> None:
    found = [item for tool in ("axolotl", "llamafactory") for item in gains(tool)]
    if "--page" in sys.argv:
        (ROOT / "docs" / "auto-gain.md").write_text(page(found), encoding="utf-8")
    for tool in ("axolotl", "llamafactory"):
        rows = [item for item in found if item.tool == tool]
        print("".join(map(_row, rows)) + f"{tool}: {said(rows)}")


if __name__ == "__main__":
    main()
