"""The real tools read what ftc builds for them: `make conformance`.

Each tool gets an environment of its own (they cannot share one), from a list of exact versions beside this file, under
~/.cache/ftc/conformance. Every recipe and every variant below is built and given to the tool's own parser; one spoiled
artifact per tool must be refused, so that a check that sees nothing is noticed. Then the quickstart is trained for
three steps by each tool, on the CPU: they start from the same weights and see the same labels, so the losses agree.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from compiler.build import Options, compile_recipe
from compiler.write import write_artifact
from schemas.artifact import Target

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

PLACE = Path.home() / ".cache" / "ftc" / "conformance"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "ALLOW_EXTRA_ARGS"},
    "PYTHONPATH": str(HERE / "stubs"),
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_DISABLED": "true",
    "LLAMAFACTORY_VERBOSITY": "ERROR",
}
SIGNATURES_OF_A_GPU = {"UNSLOTH_ALLOW_CPU": "1"}
"""Makes Unsloth importable as on a machine with a GPU; with it no model can be loaded."""


@dataclass(frozen=True)
class Tool:
    """`folder`: of its environment. `spoil`: what in its artifact is replaced by what, to be refused."""

    name: Target
    folder: str
    body: str
    spoil: tuple[str, str]
    train: tuple[str, ...]

    @property
    def bin(self) -> Path:
        return PLACE / self.folder / "bin"


TOOLS = (
    Tool(
        "axolotl",
        "ax",
        "config.yaml",
        ("lora_r:", "lora_rank:"),
        ("axolotl", "train", "config.yaml", "--launcher", "python"),
    ),
    Tool(
        "llamafactory",
        "lf",
        "config.yaml",
        ("flash_attn: sdpa", "flash_attn: flash_attention_2"),
        ("llamafactory-cli", "train", "config.yaml"),
    ),
    Tool("unsloth", "us", "train.py", ("weight_decay=", "weight_decai="), ("python", "train.py")),
)

BASE = """\
version: 1
name: variant
model: {base: meta-llama/Llama-3.2-1B-Instruct}
method: {kind: qlora}
data: {train: [{path: data/support.jsonl, format: messages}], max_length: 512}
training: {global_batch_size: 16, micro_batch_size: 2}
hardware: {gpu: h100}
"""

VARIANTS: dict[str, tuple[str, ...]] = {
    "qlora": (),
    "lora": ("method.kind=lora",),
    "dora": ("method.kind=dora",),
    "qdora": ("method.kind=qdora",),
    "full": ("method.kind=full",),
    "full-float32": ("method.kind=full", "method.weights_dtype=float32"),
    "float16": ("model.dtype=float16",),
    "int8": ("method.quantization={bits: 8}",),
    "fp4": ("method.quantization={type: fp4, double_quant: false}",),
    "rslora": ("method.kind=lora", "method.rslora=true", "method.modules_to_save=[lm_head]"),
    "pissa": ("method.kind=lora", "method.init=pissa"),
    "gaussian": ("method.kind=lora", "method.init=gaussian"),
    "lora-plus": ("method.kind=lora", "method.lora_plus_ratio=16.0"),
    "regular-expression": ("method.target_modules='re:.*(q|v)_proj'",),
    "padded": ("data.packing=false", "data.overlong=truncate"),
    "unpacked-error": ("data.packing=false", "data.overlong=error"),
    "flash": ("model.attention=flash_attention_2", "training.micro_batch_size=1"),
    "all-tokens": ("data.loss_on=all",),
    "last-answer": ("data.loss_on=last_assistant",),
    "system": ("data.system='Answer in one sentence: yes or no.'",),
    "no-shuffle": ("data.shuffle=false",),
    "no-validation": ("data.validation=null",),
    "validation-file": ("data.validation=[{path: data/support.jsonl, format: messages}]",),
    "cosine-floor": ("training.min_lr_ratio=0.1", "training.warmup=100"),
    "polynomial": ("training.scheduler=polynomial", "training.min_lr_ratio=0.1"),
    "constant": ("training.scheduler=constant", "training.warmup=0.0"),
    "steps": ("training.max_steps=100", "evaluation.every=20", "checkpoint.every=40", "checkpoint.best=true"),
    "shares": ("training.epochs=2", "evaluation.every=0.25", "checkpoint.every=0.5", "checkpoint.weights_only=true"),
    "never": ("evaluation.every=null", "checkpoint.every=null", "checkpoint.resume=never"),
    "trackers": ("logging.to=[wandb, tensorboard, mlflow]", "logging.project=support"),
    "trackio": ("logging.to=[trackio]",),
    "no-checkpointing": ("training.gradient_checkpointing=false",),
    "offload": ("training.gradient_checkpointing=offload",),
    "selective": ("training.gradient_checkpointing=selective",),
    "liger": ("training.kernels=liger",),
    "chunked": ("training.loss=chunked",),
    "compile": ("training.compile=true",),
    "neftune": ("training.neftune_alpha=5.0", "training.max_grad_norm=0"),
    "two-cards": ("hardware.count=2",),
    "chatml": ("model.chat_template=chatml",),
    "pad-token": ("model.tokens.pad=<|finetune_right_pad_id|>",),
    **{
        f"optimizer-{name}": (f"training.optimizer={name}",)
        for name in ("adamw_8bit", "paged_adamw", "adafactor", "lion_8bit", "sgd")
    },
}


def main() -> int:
    """The number of artifacts that a tool refuses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", help="only these of " + ", ".join(tool.name for tool in TOOLS))
    parser.add_argument("--no-train", action="store_true", help="do not train the quickstart")
    asked = parser.parse_args()
    chosen = [tool for tool in TOOLS if not asked.tools or tool.name in asked.tools]
    wrong = 0
    losses: dict[str, list[float]] = {}
    for tool in chosen:
        install(tool)
        with TemporaryDirectory(prefix="ftc-conformance-") as scratch:
            wrong += check(tool, Path(scratch))
            if not asked.no_train:
                losses[tool.name] = train(tool, Path(scratch))
    return min(1, wrong + compare(losses))


def install(tool: Tool) -> None:
    """The tool's environment; torch with what it needs, all else exactly as listed."""
    pins = (HERE / f"{tool.name}.txt").read_text(encoding="utf-8")
    stamp, digest = tool.bin.parent / "installed", sha256(pins.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    print(f"{tool.name}: installing into {tool.bin.parent}", file=sys.stderr)
    if not (tool.bin / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", tool.bin.parent], check=True)
    pip = [tool.bin / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *re.findall(r"^torch==.*", pins, re.MULTILINE)], check=True)
    subprocess.run([*pip, "--no-deps", "-r", HERE / f"{tool.name}.txt"], check=True)
    stamp.write_text(digest)


def artifacts() -> Iterator[tuple[str, str, Path, tuple[str, ...]]]:
    """Name, text, folder and overrides of everything that is built."""
    for recipe in sorted((ROOT / "recipes").glob("**/*.ftc.yaml")):
        yield recipe.name.removesuffix(".ftc.yaml"), recipe.read_text(encoding="utf-8"), recipe.parent, ()
    for name, sets in VARIANTS.items():
        yield name, BASE, ROOT / "recipes", sets


def build(tool: Tool, text: str, folder: Path, sets: tuple[str, ...], out: Path) -> str | None:
    """Write the artifact; where it is refused, the codes."""
    options = Options(target=tool.name, sets=sets, emit=True, ignore_memory=True)
    made = compile_recipe("recipe.yaml", text, folder, options)
    if made.artifact is None:
        return ", ".join(f"{item.code} {item.path}" for item in made.diagnostics if item.level == "error")
    write_artifact(made.artifact, out, {}, lambda _: None)
    return None


def check(tool: Tool, scratch: Path) -> int:
    """How many artifacts the tool refuses, and whether it refuses the spoiled one."""
    folders = []
    for name, text, folder, sets in artifacts():
        if refused := build(tool, text, folder, sets, scratch / name):
            print(f"{tool.name:13} {name:32} not built: {refused}")
        else:
            folders.append(scratch / name)
    spoiled = scratch / "spoiled"
    build(tool, BASE, ROOT / "recipes", (), spoiled)
    body = spoiled / tool.body
    body.write_text(body.read_text(encoding="utf-8").replace(*tool.spoil), encoding="utf-8")
    findings = dict(read(tool, [*folders, spoiled]))
    unseen = not findings.pop(str(spoiled))
    print(f"{tool.name:13} {'spoiled':32} {'NOT SEEN' if unseen else 'refused, as it must be'}")
    for folder, wrong in findings.items():
        print(f"{tool.name:13} {Path(folder).name:32} {'REJECTED' if wrong else 'ACCEPTED'}")
        for line in wrong:
            print(f"{'':14}{line}")
    return unseen + sum(bool(wrong) for wrong in findings.values())


def read(tool: Tool, folders: list[Path]) -> Iterator[tuple[str, list[str]]]:
    """What the tool has to say about each artifact. One that ends the checker is a `RuntimeError`."""
    command = [tool.bin / "python", HERE / f"check_{tool.name}.py", *folders]
    done = subprocess.run(command, env=ENVIRONMENT | SIGNATURES_OF_A_GPU, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('["/')]
    if len(lines) != len(folders):
        raise RuntimeError(f"{tool.name}: {len(lines)} of {len(folders)} artifacts were read\n{done.stderr[-2000:]}")
    yield from map(json.loads, lines)


# --- three steps for real

THREE_STEPS = (
    "training.max_steps=3",
    "~training.epochs",
    "logging.every=1",
    "evaluation.every=null",
    "checkpoint.every=null",
)


def train(tool: Tool, scratch: Path) -> list[float]:
    """The losses of three steps of the quickstart; none where the tool fails, whose last lines are shown."""
    recipe = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
    out = scratch / "quickstart-steps"
    sets = (*THREE_STEPS, f"output.dir={scratch}/runs", "data.overlong=truncate")
    if refused := build(tool, recipe.read_text(encoding="utf-8"), recipe.parent, sets, out):
        print(f"{tool.name:13} {'three steps':32} not built: {refused}")
        return []
    name, *rest = tool.train
    done = subprocess.run(
        [tool.bin / name, *rest], cwd=out, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    losses = [float(found) for found in re.findall(r"'loss': '?([0-9.]+)", done.stdout + done.stderr)]
    if done.returncode:
        print(done.stdout[-1500:], done.stderr[-1500:], file=sys.stderr)
    print(f"{tool.name:13} {'three steps':32} {losses if losses else 'FAILED'}")
    return losses


def compare(losses: dict[str, list[float]]) -> int:
    """1 where a tool did not train, or the losses before the first update are not the same."""
    first = [found[0] if found else None for found in losses.values()]
    known = [loss for loss in first if loss is not None]
    # Rows come in another order in each tool, so the first batch differs; its loss does so by less than this.
    return int(len(known) < len(first) or (bool(known) and max(known) - min(known) > 0.1))


if __name__ == "__main__":
    raise SystemExit(main())
