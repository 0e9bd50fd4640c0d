"""How other tools' configs spread a run over cards: DeepSpeed's files, FSDP's settings, and how many cards."""

from __future__ import annotations

import re
from typing import Final, cast

from backends.reading import Leaf, Reader

OPTION: Final = "--count"
CARDS: Final = 2
"""Where a strategy is for several cards, and nobody says how many."""

WRITTEN: Final[dict[str, object]] = {
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "reshard_after_forward": True,
    "state_dict_type": "FULL_STATE_DICT",
}
"""What ftc itself tells FSDP2, whatever the recipe (`backends/sharding.py`)."""


def deepspeed(reader: Reader) -> None:
    """The stage of ZeRO, from DeepSpeed's file where it was read (`reader.all` has it then), or from its usual name."""
    told = reader.get("deepspeed")
    if isinstance(told, dict):
        section = cast("dict[str, dict[str, object]]", told).get("zero_optimization", {})
        stage = section.get("stage")
        offload = "all" if "offload_param" in section else "optimizer" if "offload_optimizer" in section else "none"
    else:
        name = str(told).rpartition("/")[2]
        found = re.search(r"(?:zero|z)_?(\d)", name)
        stage = int(found[1]) if found else None
        offload = "all" if "offload" in name and stage == 3 else "optimizer" if "offload" in name else "none"
        if found:
            reader.note("differs", "deepspeed", f"{name} was not there to be read: its name says ZeRO-{stage}")
    if stage in (2, 3):
        reader.put("hardware.strategy", f"zero{stage}", "deepspeed")
        if offload != "none":
            reader.put("hardware.offload", "all" if offload == "all" and stage == 3 else "optimizer", "deepspeed")
    elif stage == 1:
        reader.put("hardware.strategy", "zero2", "deepspeed")
        reader.note("differs", "deepspeed", "ZeRO-1 is read as ZeRO-2: the same steps, in less memory")
    elif stage == 0:
        reader.put("hardware.strategy", "ddp", "deepspeed")
    else:
        reader.note("lost", "deepspeed", "the stage of ZeRO is not known", "write hardware.strategy: zero2 or zero3")


def fully_sharded(reader: Reader) -> None:
    """FSDP, of either kind: ftc shards whole layers, and gathers them for saving."""
    told = reader.get("fsdp_config")
    settings = cast("dict[str, object]", told) if isinstance(told, dict) else {}
    plain = {name.removeprefix("fsdp_"): name for name in settings}
    reader.put("hardware.strategy", "fsdp", "fsdp", "fsdp_config.fsdp_version", "fsdp_version")
    if reader.get("fsdp") is not None and str(plain.get("version") or reader.get("fsdp_version")) != "2":
        reader.note("differs", "fsdp", "FSDP is read as FSDP2, its newer kind")
    offload = plain.get("offload_params")
    if offload and settings[offload] in (True, "true"):
        reader.put("hardware.offload", "all", f"fsdp_config.{offload}")
    for ours, theirs in plain.items():
        if ours == "activation_checkpointing" and settings[theirs] in (True, "true"):
            known = reader.leaves.get("training.gradient_checkpointing")
            more = known.keys if known else ()
            reader.put("training.gradient_checkpointing", True, f"fsdp_config.{theirs}", *more)
        elif WRITTEN.get(ours, settings) == settings[theirs]:
            reader.also("hardware.strategy", f"fsdp_config.{theirs}")
        elif ours not in ("version", "offload_params"):
            reader.idle("ftc says how layers are sharded and saved", f"fsdp_config.{theirs}")
        elif theirs == offload:
            reader.also("hardware.strategy", f"fsdp_config.{theirs}")


def cards(reader: Reader, count: int | None) -> None:
    """A file says what one card does; the batch of a step is that of all cards."""
    strategy = reader.leaves.get("hardware.strategy")
    several = strategy is not None and strategy.value != "single"
    sharded = int((reader.number("dp_shard_size", 1) or 1) * (reader.number("dp_replicate_size", 1) or 1))
    number = count or (sharded if sharded > 1 else CARDS if several else 1)
    if several and count is None and sharded == 1:
        key = next(iter(strategy.keys), "") if strategy else ""
        why = f"how many cards is not in the file: read as {CARDS}"
        reader.note("differs", key, why, "say it with --count")
    if number > 1:
        batch = reader.leaves["training.global_batch_size"]
        # Neither is a default of the tool's, even where no key of the file says it.
        rows = cast(int, batch.value) * number
        reader.leaves["training.global_batch_size"] = Leaf(rows, batch.keys or (OPTION,))
        reader.put("hardware.count", number, "dp_shard_size", "dp_replicate_size")
        counted = reader.leaves["hardware.count"]
        reader.leaves["hardware.count"] = Leaf(number, counted.keys or (OPTION,))
    for key in ("dp_shard_size", "dp_replicate_size", "tensor_parallel_size", "context_parallel_size"):
        if reader.number(key) == 1:
            reader.idle("nothing is parted by it", key)
