"""What the two tools with a YAML file share: the copy that is run here, less its sharding. Runs in their Pythons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

RUN = "conformance.yaml"
"""The config that is run: the artifact's own, less what needs several cards and a compiler for them."""

SHARDS = ("deepspeed", "fsdp_version", "fsdp_config")


def copy_to_run(told: dict[str, Any]) -> dict[str, Any]:
    """Write the config that is run here, and give the original one back."""
    text = Path("config.yaml").read_text(encoding="utf-8")
    written = yaml.safe_load(text)
    kept = {key: value for key, value in written.items() if key not in SHARDS}
    for key in ("base_model", "model_name_or_path"):
        if key in kept and told["base"]:
            kept[key] = told["base"]
    Path(RUN).write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return written
