# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""The base of a run and what was trained of it, on this machine."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from backends.native.bottlenecks import BottleneckError, load_bottlenecks
from backends.native.disk import DiskError
from backends.native.merging import MergeError
from backends.native.model import ModelError, Plan, load_base, loading, one_by_one
from backends.native.tokenizer import end_of_turn
from backends.native.vocabulary import make_room
from compiler.after.finished import Finished
from compiler.errors import FtcError
from compiler.exit import INVALID, MISSING, NO_FIT, USAGE

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

Device = Literal["auto", "cpu", "cuda"]


def device_of(wanted: Device) -> str:
    """Where the model is put: on the card where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise FtcError("there is no CUDA device here", "leave --device out", MISSING)
    return "cpu" if wanted == "cpu" or not torch.cuda.is_available() else "cuda:0"


def here(run: Finished, device: str) -> Plan:
    """The run's plan for this device. A CPU computes in float32: its 16-bit arithmetic is many times slower."""
    plan = copy.deepcopy(one_by_one(run.plan, device))
    if device == "cpu":
        plan["model"]["dtype"] = "float32"
        if plan["method"].get("quantization"):
            plan["method"]["quantization"]["compute_dtype"] = "float32"
    return plan


def base_model(run: Finished, device: str) -> Any:
    """The untouched base, quantised where the run had it so."""
    plan = here(run, device)
    base = load_base(plan, device)
    make_room(base, plan, tokenizer_of(run))
    return base.eval()


def trained_model(run: Finished, device: str, base: Any = None) -> Any:
    """What was trained. `base`: what an adapter is put on, and changed by that; it is loaded where it is not given."""
    if run.kind == "full":
        try:
            return AutoModelForCausalLM.from_pretrained(run.result, **loading(here(run, device), device)).eval()
        except (OSError, ValueError) as error:
            raise ModelError(f'"{run.result}" cannot be loaded: {error}') from error
    base = base_model(run, device) if base is None else base
    if run.kind == "adapter":
        return load_bottlenecks(base, run.result).eval()
    return PeftModel.from_pretrained(base, str(run.result)).eval()


def tokenizer_of(run: Finished) -> Any:
    """The run's own, with its chat template."""
    return AutoTokenizer.from_pretrained(run.result, trust_remote_code=run.plan["model"]["trust_remote_code"])


def bare(model: Any) -> Any:
    """The model inside of what adapters are put on by."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def stops(model: Any, tokenizer: Any) -> list[int]:
    """Tokens at which an answer ends: those of the base's own settings, and what the chat template ends a turn with."""
    said = bare(model).generation_config.eos_token_id
    token = end_of_turn(tokenizer)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(token) if token else None]
    wanted = (*(said if isinstance(said, list) else [said]), *ends)
    return sorted({each for each in wanted if isinstance(each, int)})


@contextmanager
def explained() -> Iterator[None]:
    """Errors of loading and computing as `FtcError`, whose words are for a person."""
    try:
        yield
    except (ModelError, BottleneckError) as error:
        raise FtcError(str(error), "the plan of the run names its base in model.base", MISSING) from error
    except DiskError as error:
        raise FtcError(str(error), "free space there, or name another folder", USAGE) from error
    except MergeError as error:
        raise FtcError(str(error), None, INVALID) from error
    except SafetensorError as error:  # a full disk, or a file that was cut off
        raise FtcError(f"weights cannot be read or written: {error}", None, USAGE) from error
    except torch.OutOfMemoryError as error:
        first = str(error).splitlines()[0]
        raise FtcError(
            f"the GPU ran out of memory: {first}", "close what else runs on it, or --device cpu", NO_FIT
        ) from error


def size_of(path: Path) -> str:
    """Of all files of a folder, for a person."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
