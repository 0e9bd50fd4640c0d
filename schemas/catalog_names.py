"""The names that editors suggest for a base and a card, from the catalogs; read only where they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

CATALOG: Final = Path(__file__).parent / "catalog"
MIB_OF_GIB: Final = 1024


def catalog_names(catalog: str) -> dict[str, str]:
    """Name → what it is in a line. `models`: hub ids, one for each checkpoint; `gpus`: the cards."""
    said: dict[str, Any] = json.loads((CATALOG / f"{catalog}.json").read_text(encoding="utf-8"))
    return dict(_models(said["models"]) if catalog == "models" else _gpus(said["gpus"]))


def _models(entries: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for entry_name, entry in entries.items():
        for position, (hub_id, own) in enumerate(entry["ids"].items()):
            name = own.get("name") or (entry_name if position == 0 else None)
            if name:
                yield hub_id, _model(name, entry, own)


def _model(name: str, entry: dict[str, Any], own: dict[str, Any]) -> str:
    params, chat = entry["published_params"], own.get("chat_format")
    config = {**entry["config"], **own.get("config", {})}
    facts = [
        f"{params / 1e9:.2f} B parameters" if params else "",
        f"{config['max_position_embeddings']} tokens of context" if "max_position_embeddings" in config else "",
        f"chat template {chat}" if chat else "no chat template",
        f"shipped as {own['prequantized']}" if own.get("prequantized") else "",
    ]
    return f"{', '.join(fact for fact in facts if fact)}; {name} in the catalog."


def _gpus(cards: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, card in cards.items():
        memory, capability = card["memory_mib"], card["compute_capability"]
        facts = [
            card["title"],
            f"{memory / MIB_OF_GIB:.1f} GiB usable" if memory else "",
            "no bfloat16" if capability is not None and not card["bf16_tflops"] else "",
        ]
        yield name, ", ".join(fact for fact in facts if fact) + "."
