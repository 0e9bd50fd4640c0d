"""What each method does on this machine, and what it is refused for: docs/methods.md. `make methods`.

    PYTHONPATH=tests python -m methods.run              # all, and the page
    PYTHONPATH=tests python -m methods.run LoRA IA3     # some, and no page

Every cell is a run of the quickstart's base and rows on a CPU, by the native artifact that `ftc build` writes; a "no"
carries the code by which the compiler refuses it. Ends 1 where a run fails or a figure is beyond its limit.
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in train.py: others use this machine too
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from methods.cases import METHODS, ROOT, SHORT, STEPS, Method
from methods.running import Ran, RefusedError, logits, ran, ran_by_two
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from backends.native.bottlenecks import load_bottlenecks

PAGE = ROOT / "docs" / "methods.md"
FALL, EXACT, ROUGH, SAME, LOST = 0.9, 1e-5, 1e-2, 2e-3, 0.25
"""Of the first losses at most; of logits after a reload, and where the base is quantised; of losses that must agree; of
logits after a merge into a base that has again what quantisation had taken."""
COLUMNS = ("learning rate", "loss falls", "reloads", "merges", "quantised base", "packing", "checkpointing", "DDP")
Cell = tuple[str, bool]


def main() -> int:
    wanted = sys.argv[1:]
    rows: dict[str, list[Cell]] = {}
    for method in METHODS:
        if not wanted or method.name in wanted:
            rows[method.name] = _row(method)
            print(f"{method.name:32} " + " | ".join(text for text, _ in rows[method.name]), flush=True)
    if not wanted:
        PAGE.write_text(_page(rows), "utf-8")
    return 0 if all(right for row in rows.values() for _, right in row) else 1


def _row(method: Method) -> list[Cell]:
    quantised = method.said["kind"] in ("qlora", "qdora")
    with TemporaryDirectory(prefix="ftc-methods-") as scratch:
        here = Path(scratch)
        whole = ran(method, here / "whole", STEPS)
        plain = ran(method, here / "plain", SHORT, data={"shuffle": False})
        cells: list[Callable[[], Cell]] = [
            lambda: (f"{method.rate:g}", True),
            lambda: _falls(whole),
            lambda: _reloads(method, whole, ROUGH if quantised else EXACT),
            lambda: _merges(method, here, LOST if quantised else 1e-3),
            lambda: ("yes", True) if quantised else _quantised(method, here),
            lambda: _packs(method, here),
            lambda: _same(plain, ran(method, here / "again", SHORT, **RECOMPUTED).losses),
            lambda: _same(plain, ran_by_two(method, here / "two", SHORT)),
        ]
        return [_cell(each) for each in cells]


RECOMPUTED: dict[str, Any] = {"training": {"gradient_checkpointing": True}, "data": {"shuffle": False}}


def _cell(make: Callable[[], Cell]) -> Cell:
    try:
        return make()
    except RefusedError as refusal:
        return f"no: {refusal}", True
    except Exception as error:
        return f"FAILED: {error}", False


def _falls(found: Ran) -> Cell:
    first, last = (sum(part) / 10 for part in (found.losses[:10], found.losses[-10:]))
    return f"{first:.2f} → {last:.2f}", last < FALL * first


def _loaded(method: Method, found: Ran) -> Any:
    out = found.out
    base = str(ROOT / "recipes" / "quickstart" / "base")
    if method.said["kind"] == "full":
        return AutoModelForCausalLM.from_pretrained(out / "model")
    if method.said["kind"] == "adapter":
        return load_bottlenecks(AutoModelForCausalLM.from_pretrained(base), out / "adapter")
    if method.said["kind"] in ("qlora", "qdora"):
        from peft import PeftModel

        from backends.native.model import load_base

        plan = json.loads((found.place / "plan.json").read_text("utf-8"))
        return PeftModel.from_pretrained(load_base(plan, "cpu"), out / "adapter")
    return AutoPeftModelForCausalLM.from_pretrained(out / "adapter")


def _reloads(method: Method, found: Ran, limit: float) -> Cell:
    """What a plain script loads says what was trained."""
    return _near(found.logits, logits(_loaded(method, found)), limit)


def _near(one: torch.Tensor | None, other: torch.Tensor, limit: float) -> Cell:
    """The largest difference of logits, over the largest of them."""
    if one is None:
        return "FAILED: it was not saved", False
    difference = float((one - other).abs().max() / one.abs().max())
    return ("exactly" if difference == 0 else f"within {difference:.0e}"), difference <= limit


def _merges(method: Method, here: Path, limit: float) -> Cell:
    found = ran(method, here / "merged", SHORT, output={"dir": str(here / "merged" / "out"), "merge": True})
    return _near(found.logits, logits(AutoModelForCausalLM.from_pretrained(found.out / "merged")), limit)


def _quantised(method: Method, here: Path) -> Cell:
    ran(method._replace(said={**method.said, "quantization": {"bits": 4}}), here / "quantised", SHORT)
    return "yes", True


def _packs(method: Method, here: Path) -> Cell:
    training = {"micro_batch_size": 1, "global_batch_size": 1}
    found = ran(method, here / "packed", 20, data={"packing": True, "max_length": 256}, training=training)
    return "yes", sum(found.losses[-5:]) < sum(found.losses[:5])


def _same(one: Ran, losses: list[float]) -> Cell:
    difference = max(abs(a - b) for a, b in zip(one.losses, losses, strict=True))
    return ("exactly" if difference == 0 else f"within {difference:.0e}"), difference <= SAME


def _page(rows: dict[str, list[Cell]]) -> str:
    head = f"| method | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}\n"
    lines = "".join(f"| {name} | {' | '.join(text for text, _ in row)} |\n" for name, row in rows.items())
    return ABOUT + head + lines


ABOUT = f"""\
# Methods

Written by `make methods`, which runs every cell on a CPU: the quickstart's base (2.2 million parameters) and rows, by
the artifact that `ftc build --target native` writes.

- **loss falls**: mean of the first ten and of the last ten losses of {STEPS} steps of 8 rows, at the rate beside it.
- **reloads**: what a script without ftc loads from the saved folder against the model as it was trained, by logits.
- **merges**: the merged model against it. Adapters of a quantised base are merged into that base as it was before, so
  that what they differ by is what quantisation had lost.
- **quantised base**, **packing**: it trains so.
- **checkpointing**, **DDP**: the losses of {SHORT} steps with recomputed activations, and of two processes (gloo),
  against those of one process without.

Differences of logits are over the largest logit. A "no" carries the code by which it is refused: `ftc explain CODE`.

"""


if __name__ == "__main__":
    sys.exit(main())
