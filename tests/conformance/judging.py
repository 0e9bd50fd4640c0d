"""Whether what a tool makes of an artifact is what the plan says, but for what the artifact warns of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comparing import Difference, Sight, compare, compare_rows
from environments import Tool
from expected import Around, expected
from expected_rows import expected_rows
from msgspec import Struct
from msgspec.structs import replace

UNSHOWN: dict[str, dict[str, str]] = {
    "axolotl": {},
    "llamafactory": {},
    "unsloth": {
        "training.loss": "its fused loss is chosen by the forward pass itself, on a GPU",
        **dict.fromkeys(
            ("hardware.offload", "hardware.strategy.reshards", "hardware.strategy.saves"),
            "it shards the model itself, once several processes have met",
        ),
    },
}
"""Fields that a tool's objects do not show, with the reason."""


class Judged(Struct, frozen=True):
    """`refused`: why the tool does not take it. `known`: leaves that are warned of and differ. `unknown`: what differs
    without a warning."""

    name: str
    fields: int
    refused: tuple[str, ...]
    known: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def wrong(self) -> bool:
        return bool(self.refused or self.unknown)


def judge(tool: Tool, built: Any, report: dict[str, Any]) -> Judged:
    """One artifact."""
    if report["wrong"]:
        return Judged(built.case.name, 0, tuple(map(str, report["wrong"])), (), ())
    seen = {**built.launch, **report["effective"]}
    cards = seen["hardware.count"] * seen["hardware.nodes"]
    seen["training.global_batch_size"] = seen["training.micro_batch_size"] * seen["accumulation"] * cards
    around = Around(str(built.case.stand_in or built.plan.model.base), built.steps, built.resume)
    planned = expected(built.plan, tool.name, around, seen)
    found = [*compare(planned, seen, UNSHOWN[tool.name])]
    found += [] if built.case.stand_in else rows(built, seen)
    excused = [excuse(item, built.warned) for item in found]
    return Judged(
        built.case.name,
        len(planned),
        (),
        tuple(sorted({item.excused for item in excused if item.excused})),
        tuple(said(item) for item in excused if not item.excused),
    )


def excuse(item: Difference, warned: tuple[str, ...]) -> Difference:
    """A warning about the leaf that the field stands for, or about a section that it lies in."""
    about = next((path for path in warned if item.field == path or item.field.startswith(f"{path}.")), None)
    return replace(item, excused=about)


def rows(built: Any, seen: dict[str, Any]) -> Iterator[Difference]:
    """Training and validation rows: which, what is in them, what of them is trained."""
    plan = built.plan
    train, held = expected_rows(plan)
    compares, texts = plan.training.preference is not None, plan.data.train[0].format == "text"
    sight = Sight(
        ordered=not plan.data.shuffle and not plan.data.packing,
        masked=not compares,
        cut=not compares,
        written="data.train[0].format" if texts else "model.chat_template",
        shortened="data.train[0].format" if texts else "data.overlong",
    )
    yield from compare_rows("data.train", train, seen["train"]["rows"], sight)
    if plan.evaluation.every is not None:
        in_any_order = replace(sight, ordered=False)
        yield from compare_rows("data.validation", held, seen["validation"]["rows"], in_any_order)


def said(item: Difference) -> str:
    return f"{item.field}: planned {short(item.planned)}, found {short(item.found)}"


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} … {text[-140:]}"
