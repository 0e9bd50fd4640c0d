"""Writes docs/speed.md from the readings in `bench/results/*.speed.json`.

python -m bench.gpu.page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "speed.md"

HEAD: Final = """\
# Speed

Written by `bench/gpu/page.py` from `bench/results/*.speed.json`, which `bench/gpu/` read on a card. Random weights and
random tokens; a step is 16,384 positions in rows of 2,048; the median of four steps after three, by the card's own
clock. **tokens/s** are of real tokens, padding left out. **TFLOP/s** count the model's own operations (4 a token for a
frozen weight, not 6; nothing that is computed again), **share** is of a large product on the same card.

`full`: each row is one document. `chat`: documents of 250 tokens in the median, log-normal; natively and in Unsloth
packed, in TRL padded.
"""

NAMES: Final = {
    "native": "ftc native, as planned",
    "native+liger": "ftc native, `training.kernels: liger`",
    "native+compile": "ftc native, `training.compile: true`",
    "native+liger+compile": "ftc native, both",
    "bare": "a bare loop with the native run's attention, loss and optimizer",
    "trl": "TRL's SFTTrainer at its defaults",
    "unsloth, checkpointing none": "Unsloth, nothing recomputed",
}

FOOT: Final = """
## What it says

- **Trainer**: the native run takes {overhead:.1%} more time than a bare loop with the same attention, loss and
  optimizer.
- **Ceiling**: at {plain:.0%} as planned and {compiled:.0%} compiled. By the profile of a step as planned,
  {products:.0%} of the time are products and {attention:.0%} attention; the rest are additions, casts, norms and what
  LoRA's matrices add to, which Liger's kernels fuse in part (`liger`), and a compiler almost wholly (`compile`:
  {compiled_products:.0%} products, {compiled_attention:.0%} attention).
- **Both** together are slower than `compile` alone: the compiler cannot fuse across Liger's kernels.
- **QLoRA** keeps {qlora:.0%} of LoRA's speed at 16,384 tokens a step.
- **Unsloth** was asked to recompute nothing, as ftc was; it compiles each layer by itself. It had neither flash-attn
  nor a matching xformers on this machine, and so attends to packed rows under a mask: its chat row may be faster with
  them. Its packed steps were up to 7 % less full, which is not taken off.

## What was not measured

The ladder from the plainest step, full fine-tuning, other sizes, other cards, several cards; `compile` on rows of many
documents; TRL and Unsloth at other settings. The card's machine had torch {torch}; the pinned one is newer.
"""


def main() -> None:
    parts = [HEAD]
    for path in sorted(RESULTS.glob("*.speed.json")):
        parts.append(_table(json.loads(path.read_text("utf-8"))))
    PAGE.write_text("".join(parts), "utf-8")


def _table(found: dict[str, Any]) -> str:
    card, rows, versions, unsloth = (found[name] for name in ("card", "rows", "versions", "unsloth_versions"))
    lines = [
        f"\n## {card['card']}\n",
        f"{found['date']}, torch {card['torch']}, transformers {versions['transformers']}, peft {versions['peft']}, "
        f"trl {versions['trl']}; Unsloth {unsloth['unsloth']} with transformers {unsloth['transformers']}. A product "
        f"of 8192³ in bfloat16: {card['product_tflops']} TFLOP/s; a copy: {card['copy_gb_s']:,.0f} GB/s.\n",
        "| run | rows | tokens/s | step, s (least, most) | TFLOP/s | share | peak GiB | losses |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    seen: set[tuple[str, str, str]] = set()
    for row in sorted(rows, key=lambda row: (row["case"], row["rows"], row["tokens_per_second"])):
        key = row["case"], row["step"], row["rows"]
        if key not in seen:
            lines.append(_line(row, card["product_tflops"]))
        seen.add(key)
    return "\n".join(lines) + "\n" + _said(rows, card, found["profiles"])


def _line(row: dict[str, Any], ceiling: float) -> str:
    least, most = row["spread"]
    losses = f"{row['losses'][0]:.2f} → {row['losses'][-1]:.2f}" if row["losses"] else "-"
    return (
        f"| {row['case']}: {NAMES.get(row['step'], row['step'])} | {row['rows']} | {row['tokens_per_second']:,.0f} "
        f"| {row['step_seconds']:.3f} ({least:.3f}, {most:.3f}) | {row['tflops']:.0f} | {row['tflops'] / ceiling:.0%} "
        f"| {row['allocated_gib']:.1f} | {losses} |"
    )


def _said(rows: list[dict[str, Any]], card: dict[str, Any], profiles: dict[str, Any]) -> str:
    speed = {(row["case"], row["step"], row["rows"]): row for row in rows}
    plain, bare = speed["8b-lora", "native", "full"], speed["8b-lora", "bare", "full"]
    compiled, qlora = speed["8b-lora", "native+compile", "full"], speed["8b-qlora", "native", "full"]
    return FOOT.format(
        overhead=plain["step_seconds"] / bare["step_seconds"] - 1,
        plain=plain["tflops"] / card["product_tflops"],
        compiled=compiled["tflops"] / card["product_tflops"],
        qlora=qlora["tokens_per_second"] / plain["tokens_per_second"],
        torch=card["torch"],
        products=profiles["native"]["products"],
        attention=profiles["native"]["attention"],
        compiled_products=profiles["native+compile"]["products"],
        compiled_attention=profiles["native+compile"]["attention"],
    )


if __name__ == "__main__":
    main()
