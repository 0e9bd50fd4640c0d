# pyright: basic
# Strict typing stops at transformers, whose callbacks take untyped keywords.
"""What a plan really takes: two steps at its largest shape, and what the allocator and the driver say of each phase.

`calibration.json` in the run's folder holds the readings. `ftc plan --calibration FILE` weighs with them.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback, set_seed

from backends.native.disk import write_text
from backends.native.gauge import CardGauge, HostGauge, others_use
from backends.native.methods import inputs_as_they_are
from backends.native.model import ModelError, Plan, load_base, loading
from backends.native.report import is_main, versions
from backends.native.settings import accumulation
from backends.native.spread import begin, devices
from backends.native.tokenizer import load_tokenizer
from backends.native.trainer import CountingTrainer, build_trainer

FILE = "calibration.json"
FORMAT_VERSION = 1
RECORDED = ("model", "method", "data", "training", "evaluation", "hardware")
"""Sections of the plan that say what was measured."""
STEPS = 2
PAD = "<pad>"
SPREAD = 0.02
"""Standard deviation of random weights: what most models start from."""
PHASES = ("load", "first_step", "second_step", "optimizer", "eval")
KINDS = ("allocated", "reserved", "device")


def measure(plan: Plan, folder: Path, device: str, *, random: bool) -> dict[str, Any]:
    """The calibration of a plan, not yet written. `folder` holds the files beside the plan. `random`: weights are made
    up on the device, and of the base only its `config.json` is read."""
    gauge, short = _gauge(device), _shortened(plan)
    vocabulary = _config(plan).get_text_config().vocab_size
    begin(plan, device)
    set_seed(plan["training"]["seed"])
    with tempfile.TemporaryDirectory() as out:
        trainer = build_trainer(
            short,
            Path(out),
            device,
            _stand_in(plan) if random else load_tokenizer(plan, folder),
            train=training_rows(short, vocabulary),
            validation=evaluation_rows(short, vocabulary),
            load=random_base if random else load_base,
        )
        phases = _two_steps(trainer, gauge)
    return {
        "format_version": FORMAT_VERSION,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "plan": _identity(plan),
        "stack": plan["derived"]["predicted"]["stack"],
        "settings": {name: plan[name] for name in RECORDED},
        "random_weights": random,
        "versions": versions(),
        "device": gauge.about(),
        "predicted": plan["derived"]["predicted"],
        "phases": {**dict.fromkeys(PHASES), **phases},
    }


def _gauge(device: str) -> CardGauge | HostGauge:
    """Before anything is on the card: what others use of it is known only until then."""
    return HostGauge() if device == "cpu" else CardGauge(device, others_use())


def _two_steps(trainer: CountingTrainer, gauge: CardGauge | HostGauge) -> dict[str, dict[str, int]]:
    """Train as `train.py` does. The readings by phase."""
    probe, model = Probe(gauge.read), trainer.model
    trainer.add_callback(probe)
    with inputs_as_they_are(model, active=trainer.args.bf16 or trainer.args.fp16):
        trainer.train()
    return probe.phases


class Probe(TrainerCallback):
    """Reads the peaks whenever a phase ends. `phases`: the largest reading of each, by its name."""

    def __init__(self, read: Callable[[], dict[str, int]]) -> None:
        self.read = read
        self.phases: dict[str, dict[str, int]] = {}

    def _end(self, phase: str) -> None:
        found, before = self.read(), self.phases.get(phase, {})
        self.phases[phase] = {name: max(size, before.get(name, 0)) for name, size in found.items()}

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end("optimizer" if state.global_step else "load")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end("second_step" if state.global_step else "first_step")

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end("optimizer")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end("optimizer")

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end("eval")


# --- the shape


def _shortened(plan: Plan) -> Plan:
    """The plan with two steps, which nothing saves or reports; accumulating only if the plan does, once."""
    training = plan["training"]
    rows = training["micro_batch_size"] * devices(plan) * min(accumulation(plan), 2)
    return {
        **plan,
        "data": {**plan["data"], "shuffle": False},
        "training": {**training, "max_steps": STEPS, "epochs": None, "global_batch_size": rows},
        "evaluation": {**plan["evaluation"], "every": STEPS if _evaluates(plan) else None},
        "checkpoint": {**plan["checkpoint"], "every": None, "best": False},
        "logging": {**plan["logging"], "every": 1, "to": []},
    }


def _evaluates(plan: Plan) -> bool:
    return plan["evaluation"]["every"] is not None and plan["data"]["validation"] is not None


def training_rows(plan: Plan, vocabulary: int) -> Dataset:
    """Rows of the greatest length for two steps. In the second step one row of each batch is a token shorter: without
    padding attention gets no mask, with padding it does, and either may need more memory."""
    micro, count = plan["training"]["micro_batch_size"], STEPS * plan["training"]["global_batch_size"]
    return _rows(plan, vocabulary, count, lambda row: row >= count // STEPS and row % micro == 0 and micro > 1)


def evaluation_rows(plan: Plan, vocabulary: int) -> Dataset | None:
    """One batch of each device, padded; None where the plan does not evaluate."""
    size = plan["evaluation"]["batch_size"]
    if not _evaluates(plan):
        return None
    return _rows(plan, vocabulary, size * devices(plan), lambda row: row % size == 0 and size > 1)


def _rows(plan: Plan, vocabulary: int, count: int, shorter: Callable[[int], bool]) -> Dataset:
    """Random tokens, all of them trained. Packed rows are made of two documents: one alone would need no mask."""
    longest = plan["data"]["max_length"]
    if not plan["data"]["packing"]:
        return _dataset([longest - shorter(row) for row in range(count)], vocabulary)
    halves = [longest - longest // 2, longest // 2]
    return _dataset([longest] * count, vocabulary).add_column("seq_lengths", [halves] * count)


def _dataset(lengths: list[int], vocabulary: int) -> Dataset:
    rows = [torch.randint(vocabulary, (length,)).tolist() for length in lengths]
    return Dataset.from_dict({"input_ids": rows, "labels": rows})


# --- weights that are downloaded from nowhere


class RandomTensor:
    """A tensor that is made when it is loaded, as transformers asks for one of a file: on its device at once."""

    def __init__(self, like: torch.Tensor, device: str) -> None:
        self.shape, self.dtype, self.device = like.shape, like.dtype, device

    def __getitem__(self, _: Any) -> torch.Tensor:
        tensor = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        return tensor.normal_(std=SPREAD) if tensor.is_floating_point() else tensor.zero_()


def random_base(plan: Plan, device: str) -> Any:
    """As `load_base`, quantised as it comes if the plan says so, with random weights."""
    if plan["derived"]["prequantized"]:
        raise ModelError("the base comes quantised, and its packed weights cannot be made up: leave out random weights")
    config, options = _config(plan), loading(plan, device)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(
            config, dtype=options["dtype"], trust_remote_code=options["trust_remote_code"]
        )
    # Two tensors of the same weight would be loaded as two weights.
    weights = {
        name: RandomTensor(tensor, device)
        for name, tensor in empty.state_dict().items()
        if name not in empty.all_tied_weights_keys
    }
    return type(empty).from_pretrained(None, config=config, state_dict=weights, **options)  # type: ignore[arg-type]


def _config(plan: Plan) -> Any:
    model = plan["model"]
    try:
        return AutoConfig.from_pretrained(
            model["base"], revision=model["revision"], trust_remote_code=model["trust_remote_code"]
        )
    except (OSError, ValueError) as error:
        raise ModelError(f'config.json of base model "{model["base"]}" cannot be read: {error}') from error


def _stand_in(plan: Plan) -> PreTrainedTokenizerFast:
    """A tokenizer that only pads, and knows the plan's new tokens."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({PAD: 0}, PAD)), pad_token=PAD)
    tokenizer.add_tokens(list(plan["model"]["tokens"]["add"]))
    tokenizer.written_before = {}
    return tokenizer


# --- the file


def _identity(plan: Plan) -> str:
    """A hash of all that was measured."""
    settings = {name: plan[name] for name in RECORDED}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def write(calibration: dict[str, Any], out: Path) -> str:
    """Put the calibration into the run's folder, and say what it says. One of another plan is kept beside it."""
    path = out / FILE
    said = [_told(calibration)]
    if is_main():
        out.mkdir(parents=True, exist_ok=True)
        earlier = _plan_of(path)
        if earlier not in (None, calibration["plan"]):
            kept = path.with_name(f"calibration-{earlier[:8]}.json")
            path.replace(kept)
            said.append(f"  of another plan   the earlier calibration is now {kept}")
        write_text(path, json.dumps(calibration, indent=2) + "\n")
    return "\n".join([*said, f"  written to        {path}"])


def _plan_of(path: Path) -> str | None:
    """Which plan the calibration in this file is of; None where there is no such file."""
    if not path.exists():
        return None
    try:
        return str(json.loads(path.read_text("utf-8"))["plan"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"


def _told(calibration: dict[str, Any]) -> str:
    """The readings for a person, and what was predicted, in MiB."""
    rows = {**calibration["phases"], "predicted": calibration["predicted"]}
    lines = [
        f"  {name.replace('_', ' '):<12}{''.join(f'{row[kind] / (1 << 20):>12,.1f}' for kind in KINDS)}"
        for name, row in rows.items()
        if row
    ]
    device = calibration["device"]
    head = f"measured on {device['name']}, two steps; MiB at most\n  {'':<12}" + "".join(
        f"{kind:>12}" for kind in KINDS
    )
    return "\n".join([head, *lines, f"  {device['how']}"])
