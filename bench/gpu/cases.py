"""The runs that a card is measured with: one recipe, and by what each run differs from it.

    python -m bench.gpu.cases FOLDER [--gpu h100]

Writes FOLDER/memory/NAME.json and FOLDER/speed/NAME.json, the plans of native artifacts, FOLDER/models/NAME, their
bases, and FOLDER/predictions.json: what each run is predicted to need, by formula and by trace. The machine with
the card needs no more than that and the scripts of an artifact.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from backends import load
from compiler.build import Options, compile_recipe
from compiler.memory import weigh
from compiler.models import ModelNotFound, find_config
from compiler.trace.exact import weigh_exact
from compiler.trace.untraceable import UntraceableError
from schemas.footprint import Footprint
from schemas.plan import Plan

RECIPE: Final = """\
version: 1
name: measured
model: {{base: {base}}}
method: {{kind: {kind}}}
data: {{train: {{path: {text}, format: text}}, max_length: 2048}}
training:
  {{objective: sft, max_steps: 2, micro_batch_size: 4, global_batch_size: 64,
    gradient_checkpointing: false, loss: chunked, kernels: none}}
hardware: {{gpu: {gpu}}}
"""
TEXT: Final = Path(__file__).resolve().parents[2] / "recipes" / "quickstart" / "corpus.txt"

LLAMA_1B, LLAMA_8B, QWEN_7B = "meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B"
GEMMA_9B, MISTRAL_7B, PHI_14B = "google/gemma-2-9b", "mistralai/Mistral-7B-v0.3", "microsoft/phi-4"
QWEN_4B, QWEN_05B, LLAMA_70B = "Qwen/Qwen3-4B", "Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.1-70B"

MICRO, LENGTH, AGAIN = "training.micro_batch_size", "data.max_length", "training.gradient_checkpointing"
LOSS, PACKING, OPTIMIZER = "training.loss", "data.packing", "training.optimizer"
Changes = dict[str, object]

MEMORY: Final[dict[str, tuple[str, str, Changes]]] = {
    "1b-full": (LLAMA_1B, "full", {}),
    "1b-full-float32": (LLAMA_1B, "full", {"method.weights_dtype": "float32", MICRO: 2, LOSS: "full", AGAIN: True}),
    "1b-full-padded": (LLAMA_1B, "full", {PACKING: False, LENGTH: 1024, AGAIN: True}),
    "1b-lora": (LLAMA_1B, "lora", {MICRO: 8}),
    "1b-lora-full-loss": (LLAMA_1B, "lora", {PACKING: False, LENGTH: 1024, MICRO: 8, LOSS: "full"}),
    "0.5b-full-adafactor": (QWEN_05B, "full", {MICRO: 8, OPTIMIZER: "adafactor"}),
    "8b-lora": (LLAMA_8B, "lora", {}),
    "8b-lora-again": (LLAMA_8B, "lora", {MICRO: 8, AGAIN: True}),
    "8b-lora-padded": (LLAMA_8B, "lora", {PACKING: False, AGAIN: True, LOSS: "full"}),
    "8b-lora-offload": (LLAMA_8B, "lora", {AGAIN: "offload"}),
    "8b-lora-8k": (LLAMA_8B, "lora", {MICRO: 1, LENGTH: 8192}),
    "8b-qlora": (LLAMA_8B, "qlora", {}),
    "8b-qlora-padded": (LLAMA_8B, "qlora", {PACKING: False, MICRO: 2, LENGTH: 4096, AGAIN: True}),
    "8b-dora": (LLAMA_8B, "dora", {MICRO: 2}),
    "8b-qdora": (LLAMA_8B, "qdora", {MICRO: 2, AGAIN: True}),
    "8b-full-8bit-adam": (LLAMA_8B, "full", {MICRO: 1, AGAIN: True, OPTIMIZER: "adamw_8bit"}),
    "8b-ia3": (LLAMA_8B, "ia3", {AGAIN: True}),
    "8b-bottleneck": (LLAMA_8B, "adapter", {AGAIN: True}),
    "8b-lora-evaluated": (LLAMA_8B, "lora", {MICRO: 1, "data.validation": 0.1, "evaluation.batch_size": 8}),
    "qwen7b-lora": (QWEN_7B, "lora", {}),
    "qwen7b-int8": (QWEN_7B, "qlora", {MICRO: 2, AGAIN: True, "method.quantization.bits": 8}),
    "qwen4b-selective": (QWEN_4B, "lora", {AGAIN: "selective"}),
    "gemma9b-lora-eager": (GEMMA_9B, "lora", {PACKING: False, MICRO: 2, AGAIN: True}),
    "mistral-lora-4k": (MISTRAL_7B, "lora", {LENGTH: 4096, AGAIN: True}),
    "phi4-lora": (PHI_14B, "lora", {MICRO: 2, AGAIN: True}),
    "70b-qlora": (LLAMA_70B, "qlora", {MICRO: 1, AGAIN: True}),
}
"""Name: base, method, changes."""

SPEED: Final[dict[str, tuple[str, str, Changes]]] = {
    "8b-lora": (LLAMA_8B, "lora", {}),
    "8b-lora-again": (LLAMA_8B, "lora", {MICRO: 8, AGAIN: True}),
    "8b-qlora": (LLAMA_8B, "qlora", {}),
    "1b-lora": (LLAMA_1B, "lora", {MICRO: 8}),
    "1b-full": (LLAMA_1B, "full", {MICRO: 8}),
}


def planned(base: str, kind: str, changes: Changes, gpu: str) -> tuple[Plan, dict[str, Any]]:
    """The plan, and the artifact's `plan.json`."""
    text = RECIPE.format(base=base, kind=kind, text=TEXT, gpu=gpu)
    sets = tuple(
        f"{path}={str(value).lower() if isinstance(value, bool) else value}" for path, value in changes.items()
    )
    found = compile_recipe("measured", text, TEXT.parent, Options("native", sets=sets, emit=True, ignore_memory=True))
    if found.plan is None or found.artifact is None:
        raise SystemExit("\n".join(str(item) for item in found.diagnostics))
    return found.plan, json.loads(found.artifact.files["plan.json"])


def predicted(plan: Plan, name: str) -> dict[str, Any]:
    """Bytes by each way of weighing, and the interval of each."""
    found: dict[str, Any] = {"formula": _sizes(weigh(plan, "native"))}
    try:
        found["trace"] = _sizes(weigh_exact(plan, "native", lambda said: print(f"{name}: {said}", file=sys.stderr)))
    except UntraceableError as error:
        found["trace"] = {"refused": str(error)}
    return found


def _sizes(footprint: Footprint) -> dict[str, Any]:
    names = ("allocated", "reserved", "device", "low", "high", "confidence", "verdict")
    return {name: getattr(footprint, name) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the plans of the runs that a card is measured with.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpu", default="h100")
    asked = parser.parse_args()
    load("native")
    predictions: dict[str, Any] = {}
    for kind, cases in (("memory", MEMORY), ("speed", SPEED)):
        for name, (base, method, changes) in cases.items():
            plan, config = planned(base, method, changes, asked.gpu)
            _write(asked.folder / kind / f"{name}.json", config)
            if kind == "memory":
                predictions[name] = predicted(plan, name)
            _write(asked.folder / "models" / base / "config.json", _config(base))
    _write(asked.folder / "predictions.json", predictions)


def _config(base: str) -> dict[str, Any]:
    found = find_config(base, Path())
    if isinstance(found, ModelNotFound):
        raise SystemExit(f"no config.json of {base}")
    return dict(found)


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
