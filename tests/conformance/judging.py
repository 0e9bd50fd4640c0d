"""Whether what a tool makes of an artifact is what the plan says, but for what the artifact warns of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from comparing import Difference, Sight, alike, compare, compare_rows
from environments import Tool
from expected import Around, expected
from expected_rows import expected_rows
from msgspec import Struct
from msgspec.structs import replace

from schemas.artifact import Target

TRAINERS_TYPE = "it is the trainer's own type, model.dtype"
MIXED = "a second loss would stand in training.preference.loss"
UNSHOWN: dict[Target, dict[str, str]] = {
    "axolotl": {"hardware.strategy.mixed": TRAINERS_TYPE, "training.preference.mixed": MIXED},
    "llamafactory": {"training.loss": "it has one kind, and the other is refused"},
    "unsloth": {
        "hardware.strategy.mixed": TRAINERS_TYPE,
        "training.preference.mixed": MIXED,
        "training.loss": "its fused loss is chosen by the forward pass itself, on a GPU",
        **dict.fromkeys(
            ("hardware.offload", "hardware.strategy.reshards", "hardware.strategy.saves"),
            "it shards the model itself, once several processes have met",
        ),
    },
}
"""Fields that a tool's objects do not show, with the reason."""

ANY = object()
EXCUSED: dict[Target, dict[str, dict[str, object]]] = {
    "axolotl": {
        "data.loss_on": {"data.loss_on": ANY},
        "data.shuffle": {"data.shuffle": False},
        "hardware.count": {"hardware.count.average": False},
        "method.adapter_dtype": {"method.adapter_dtype": ANY},
        "method.weights_dtype": {"method.weights_dtype": ["bfloat16", "float32"]},
        "model.chat_template": {"model.chat_template": ANY},
        "output.merge": {"output.merge": False},
    },
    "llamafactory": {
        "data.overlong": {"data.overlong": ANY},
        "data.train[0].format": {"data.train[0].format": ANY},
        "method.modules_to_save": {"method.modules_to_save.dtype": "float32"},
        "model.chat_template": {"model.chat_template.ends": ANY},
        "output.merge": {"output.merge": False},
    },
    "unsloth": {
        "data.shuffle": {"data.shuffle": False},
        "model.chat_template": {"model.chat_template": ANY},
        "training.gradient_checkpointing": {"training.gradient_checkpointing": True},
    },
}
"""A leaf that an artifact warns of → the fields that the warning excuses, and the one value that they may have then."""


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
    excused = [excuse(item, tool.name, built.warned) for item in found]
    return Judged(
        built.case.name,
        sum(field in seen for field in planned),
        (),
        tuple(sorted({item.excused for item in excused if item.excused})),
        tuple(said(item) for item in excused if not item.excused),
    )


def needless_excuses(target: Target, judged: Iterable[Judged]) -> list[str]:
    """Leaves that could excuse a difference, and none of these artifacts has one."""
    met = {leaf for item in judged for leaf in item.known}
    return sorted(EXCUSED[target].keys() - met)


def excuse(item: Difference, target: Target, warned: tuple[str, ...]) -> Difference:
    """The difference, with the warning that says so: of this field, and where it has one way to differ, of this one."""
    for leaf in warned:
        fields = EXCUSED[target].get(leaf, {})
        if item.field in fields and (fields[item.field] is ANY or alike(fields[item.field], item.found)):
            return replace(item, excused=leaf)
    return item


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
    yield from compare_rows("data.train", train, seen["train"], sight)
    if plan.evaluation.every is not None:
        in_any_order = replace(sight, ordered=False)
        yield from compare_rows("data.validation", held, seen["validation"], in_any_order)


def said(item: Difference) -> str:
    return f"{item.field}: planned {short(item.planned)}, found {short(item.found)}"


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} … {text[-140:]}"
