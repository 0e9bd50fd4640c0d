"""Which method a first recipe names: the one that changes the base least by rounding and still fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Compiled, Options, compile_recipe
from compiler.memory.fixes import Fix, fixes
from compiler.starting.rows import Rows
from compiler.starting.text import Tree, recipe_text, with_leaf
from schemas.diagnostic import Diagnostic
from schemas.facts import GIB, Gpu, ModelFacts
from schemas.recipe import Objective

METHODS: Final = ("lora", "qlora")
"""What is tried where no method is asked for, in this order. Full training is mentioned where it fits: it takes more
disk and more care for the learning rate."""
LENGTH: Final = 2048
BATCH: Final = 16
"""Rows of an optimizer step, the language's own; where the cards do not divide them, the next that they do."""
NO_TEMPLATE: Final = "FTC239"


class Wishes(Struct, frozen=True):
    """What was answered. `base`: as the recipe names it. `method`: None where memory is to decide. `memory`: of a card
    that the catalog gives none. `more`: leaves that were asked for beyond these, each with why."""

    name: str | None
    base: str
    facts: ModelFacts
    rows: Rows
    data: str
    gpu: Gpu
    memory: str | None
    method: str | None
    objective: Objective
    more: dict[str, tuple[object, str]] = {}

    @property
    def max_length(self) -> int:
        """Tokens of a row: what was asked for, else the usual, as far as the base reads."""
        asked = self.more.get("data.max_length")
        return cast(int, asked[0]) if asked else min(LENGTH, self.facts.context or LENGTH)


class Draft(Struct, frozen=True):
    """A recipe in the making and what the compiler says of it. `set`: leaves beyond the first ones, each with why."""

    wishes: Wishes
    method: str
    set: dict[str, tuple[object, str]]
    compiled: Compiled

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """What is wrong with it, apart from memory."""
        return tuple(item for item in self.compiled.diagnostics if item.level == "error")

    @property
    def verdict(self) -> str:
        """What memory says; nothing where there are errors."""
        return self.compiled.footprint.verdict if self.compiled.footprint else ""

    @property
    def fits(self) -> bool:
        """Whether it can be written as it is."""
        return not self.errors and self.verdict in ("fits", "unknown")

    @property
    def need(self) -> str:
        """What it needs of what there is, up to its interval's upper end."""
        weighed = self.compiled.footprint
        if weighed is None or weighed.capacity is None:
            return ""
        return f"{weighed.high / GIB:.1f} of {weighed.capacity / GIB:.1f} GiB"


class Choice(Struct, frozen=True):
    """`draft`: what is to be written, or the nearest to it. `tried`: what was weighed on the way. `fixes`: of a draft
    that does not fit, changes after which it would, on other hardware perhaps."""

    draft: Draft
    tried: tuple[Draft, ...]
    fixes: tuple[Fix, ...] = ()


def choose(wishes: Wishes, folder: Path) -> Choice:
    """The first draft that fits: of the methods as they are, then of each with the mildest change that helps."""
    methods = (wishes.method,) if wishes.method else METHODS
    tried = [drafted(wishes, method, {}, folder) for method in methods]
    found = next((draft for draft in tried if draft.fits), None)
    if found:
        return Choice(found, tuple(tried))
    proposals: tuple[Fix, ...] = ()
    for draft in reversed(tried):
        plan = draft.compiled.plan
        found_fixes = fixes(plan, "native") if plan and draft.verdict in ("tight", "does_not_fit") else ()
        for fix in filter(_of_training, found_fixes):
            mended = draft_of(wishes, draft.method, {**draft.set, **_with_costs(fix)}, folder)
            if mended.fits:
                return Choice(mended, tuple(tried))
        proposals = proposals or found_fixes
    weighed = [draft for draft in tried if not draft.errors]
    return Choice(weighed[-1] if weighed else tried[0], tuple(tried), proposals)


def shared_batch(count: int) -> int:
    """Rows of an optimizer step over so many cards."""
    return ceil(BATCH / count) * count


def full_instead(choice: Choice, folder: Path) -> Draft | None:
    """The same with every weight trained, to be mentioned beside what was chosen; None where that says nothing."""
    if choice.draft.wishes.method or choice.draft.verdict == "unknown":
        return None
    draft = drafted(choice.draft.wishes, "full", {}, folder)
    return None if draft.errors else draft


def drafted(wishes: Wishes, method: str, more: dict[str, tuple[object, str]], folder: Path) -> Draft:
    """With what was asked for, and a chat template where the base has none and the rows need one."""
    more = {**wishes.more, **more}
    draft = draft_of(wishes, method, more, folder)
    if not any(item.code == NO_TEMPLATE for item in draft.errors):
        return draft
    alpaca = wishes.rows.format == "alpaca"
    said = "the base has no template of its own; instruct models have one"
    template = {"model.chat_template": ("alpaca" if alpaca else "chatml", said)}
    return draft_of(wishes, method, {**more, **template}, folder)


def draft_of(wishes: Wishes, method: str, more: dict[str, tuple[object, str]], folder: Path) -> Draft:
    """Write it and take it through the compiler."""
    draft = Draft(wishes, method, more, Compiled("", None, None, None, None, ()))
    text = written(draft, "", {})
    return replace(draft, compiled=compile_recipe(name_of(draft), text, folder, Options()))


def _of_training(fix: Fix) -> bool:
    """Whether it changes neither the method nor the card: those were asked for, or tried already."""
    return not any(path.startswith(("hardware.", "method.kind")) or path == "method" for path in fix.set)


def _with_costs(fix: Fix) -> dict[str, tuple[object, str]]:
    """The reason stands at the first leaf."""
    return {path: (value, fix.costs if index == 0 else "") for index, (path, value) in enumerate(fix.set.items())}


def name_of(draft: Draft) -> str:
    """`llama-3.1-8b-instruct-support-qlora`, of what a name may hold."""
    if draft.wishes.name:
        return draft.wishes.name
    base = draft.wishes.facts.name.rpartition("/")[2]
    words = "-".join((base, draft.wishes.rows.stem, draft.method.replace("_", "-"))).lower()
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in words)
    return "-".join(filter(None, kept.split("-")))[:64].strip("._-") or "recipe"


def written(draft: Draft, head: str, remarks: dict[str, str]) -> str:
    """The recipe's text."""
    tree = _tree(draft)
    why = {path: why for path, (_, why) in draft.set.items() if why}
    for path, (value, _) in draft.set.items():
        with_leaf(tree, path, value)
    return recipe_text(head, tree, {**remarks, **why})


def _tree(draft: Draft) -> Tree:
    wishes = draft.wishes
    source: Tree = {"path": wishes.data}
    if wishes.rows.format:
        source["format"] = wishes.rows.format
    if wishes.rows.fields:
        source["fields"] = wishes.rows.fields
    hardware: Tree = {"gpu": wishes.gpu.name, **({"memory": wishes.memory} if wishes.memory else {})}
    return {
        "version": 1,
        "name": name_of(draft),
        "model": {"base": wishes.base},
        "method": {"kind": draft.method},
        "data": {"train": source, "validation": 0.05, "max_length": wishes.max_length},
        "training": {"objective": wishes.objective, "epochs": 1, "global_batch_size": BATCH, "learning_rate": "auto"},
        "hardware": hardware,
    }


def refused(drafts: Sequence[Draft]) -> Iterator[Diagnostic]:
    """What is wrong with all of them, each once."""
    seen = set[str]()
    for item in (item for draft in drafts for item in draft.errors):
        if item.message not in seen:
            seen.add(item.message)
            yield item
