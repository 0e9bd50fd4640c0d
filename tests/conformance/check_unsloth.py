"""Whether every keyword of the script's calls is one that the installed Unsloth, TRL and PEFT know.

Run by Unsloth's Python with the folders of artifacts: a line of JSON for each. Nothing of the script runs:
its calls are read, compared with the real signatures, and the configs among them are built. On a GPU Unsloth drops
unknown keywords of a config with a printed line, so this is the only place where they are seen.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
import tempfile
from pathlib import Path

import unsloth
from unsloth.models.rl_config_compat import classify_config_kwarg

# isort: split
# Unsloth comes first: it changes the libraries after it.
import transformers
import trl
from peft import LoraConfig

LOADED = {"quantization_config"}
"""Keywords that `from_pretrained` hands on to transformers."""


def signature(function: object) -> set[str]:
    """The names of its parameters."""
    return set(inspect.signature(inspect.unwrap(function)).parameters)


KNOWN = {
    "from_pretrained": signature(unsloth.FastLanguageModel.from_pretrained) | LOADED,
    "get_peft_model": signature(unsloth.FastLanguageModel.get_peft_model) | set(LoraConfig.__dataclass_fields__),
    "SFTTrainer": signature(trl.SFTTrainer.__init__),
    "BitsAndBytesConfig": signature(transformers.BitsAndBytesConfig) | {"load_in_4bit", "load_in_8bit"},
}


def main(path: str) -> list[str]:
    """What is wrong with the script; nothing where it is accepted."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {named(call) for call in calls}
    missing = [f"no call of {name}" for name in ("from_pretrained", "SFTConfig", "SFTTrainer") if name not in names]
    return missing + [found for call in calls for found in check(call)]


def named(call: ast.Call) -> str:
    """The last word of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def check(call: ast.Call) -> list[str]:
    """What is wrong with one call."""
    name = named(call)
    given = {item.arg: item.value for item in call.keywords if item.arg}
    found = [f"line {call.lineno}: {name} knows no {word}" for word in given.keys() - KNOWN.get(name, given.keys())]
    values = {word: ast.literal_eval(value) for word, value in given.items() if literal(value)}
    if name == "SFTConfig":
        return found + sft_config(call.lineno, given, values)
    if name == "get_peft_model":
        options = {word: value for word, value in values.items() if word in LoraConfig.__dataclass_fields__}
        return found + built(call.lineno, lambda: LoraConfig(task_type="CAUSAL_LM", **options))
    return found


def literal(value: ast.expr) -> bool:
    """Whether a value stands there as such."""
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def sft_config(line: int, given: dict[str, ast.expr], values: dict[str, object]) -> list[str]:
    """Keywords that Unsloth would drop or rename, and values that TRL refuses."""
    verdicts = {word: classify_config_kwarg(trl.SFTConfig, word)[0] for word in given}
    found = [f"line {line}: SFTConfig: {word} is {said}" for word, said in verdicts.items() if said != "accepted"]
    values |= {"output_dir": tempfile.mkdtemp(), "bf16": False, "fp16": False, "report_to": "none"}
    return found + built(line, lambda: trl.SFTConfig(**values))


def built(line: int, make: object) -> list[str]:
    """What the constructor says."""
    try:
        make()
    except Exception as error:
        return [f"line {line}: {type(error).__name__}: {error}"]
    return []


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        os.chdir(folder)
        print(json.dumps([folder, main("train.py")]), flush=True)
    os._exit(0)  # threads of the tool would wait for the network
