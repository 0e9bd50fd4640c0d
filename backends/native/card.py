"""The model card: `README.md` in the folder of what was trained, with the run in full.

Copied as it stands into every native artifact, so it imports nothing of the compiler. A card is there to be published:
of files on this machine it has names and hashes, and no paths.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backends.native.files import digest, local_files
from backends.native.findings import FileError

Plan = dict[str, Any]

SECTIONS = ("model", "method", "data", "training", "evaluation", "checkpoint", "logging", "hardware")
ADAPTED = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{folder}"{trusted})
tokenizer = AutoTokenizer.from_pretrained("{folder}"{trusted})
"""
QUANTISED = """\
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer, BitsAndBytesConfig

# It makes up for what the base loses by this very quantisation, and belongs on no other.
packed = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="{type}",
    bnb_4bit_use_double_quant={double_quant},
    bnb_4bit_compute_dtype=torch.{compute_dtype},
)
model = AutoPeftModelForCausalLM.from_pretrained("{folder}", quantization_config=packed{trusted})
tokenizer = AutoTokenizer.from_pretrained("{folder}"{trusted})
"""
BOTTLENECKS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

from bottlenecks import load_bottlenecks  # the file beside train.py; no library has these adapters

model = load_bottlenecks(AutoModelForCausalLM.from_pretrained("{base}"{trusted}), "{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}"{trusted})
"""
WHOLE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}"{trusted})
tokenizer = AutoTokenizer.from_pretrained("{folder}"{trusted})
"""
ASKING = """
messages = [{messages}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
answer = model.generate(**inputs, max_new_tokens=200, do_sample=False)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
"""


def model_card(plan: Plan, summary: dict[str, Any], folder: str) -> str:
    """The card of `adapter`, `model` or `merged`, by the folder's name."""
    base, method = _public(plan["model"]["base"]), plan["method"]["kind"]
    merged = " It is the adapter merged into its base; `merged.json` says how near the two are." * (folder == "merged")
    return f"""\
{_front(plan, folder)}
# {plan["name"]}

{_article(method)} {method} fine-tune of `{base}` ({plan["training"]["objective"]}), made by ftc.{merged}

## How to load it

```python
{_loading(plan, folder, base)}```

## What was measured

{_measured(summary)}
## Data

{_data(plan, summary)}
## Versions

{", ".join(f"{name} {version}" for name, version in summary["versions"].items())}

## The recipe in full

```json
{json.dumps(public(plan), indent=1, sort_keys=True, ensure_ascii=False)}
```
"""


def public(plan: Plan) -> dict[str, Any]:
    """The plan as it may be published: files by their names alone."""
    told: dict[str, Any] = json.loads(json.dumps({name: plan[name] for name in ("name", *SECTIONS)}))
    for name in ("base", "tokenizer"):
        told["model"][name] = _public(told["model"][name])
    for source in _sources(told["data"]):
        source["path"] = _public(source["path"])
        source["fields"] = {ours: theirs for ours, theirs in source["fields"].items() if theirs}
    if told["checkpoint"]["resume"] not in ("auto", "never"):
        told["checkpoint"]["resume"] = _public(told["checkpoint"]["resume"])
    return told


def _public(path: str | None) -> str | None:
    """A hub id as it is, of a place on this machine its name."""
    return Path(path).name if path and Path(path).is_absolute() else path


def _sources(data: dict[str, Any]) -> list[dict[str, Any]]:
    own: Any = data["validation"]
    found: list[dict[str, Any]] = [*data["train"], *(own if isinstance(own, list) else ())]
    return found


def _front(plan: Plan, folder: str) -> str:
    """What the hub reads. JSON is YAML, so nothing in a name can break it."""
    base, hub = plan["model"]["base"], [each["path"] for each in _sources(plan["data"]) if not each["local"]]
    of_peft = folder == "adapter" and plan["method"]["kind"] != "adapter"
    told: dict[str, Any] = {
        "base_model": None if base.startswith("./") or Path(base).is_absolute() else base,
        "library_name": "peft" if of_peft else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["ftc", plan["method"]["kind"], plan["training"]["objective"]],
        "datasets": list(dict.fromkeys(hub)),
    }
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in told.items() if value)
    return f"---\n{lines}---\n"


def _article(word: str) -> str:
    return "An" if word[:1] in "aeio" else "A"


def _loading(plan: Plan, folder: str, base: str | None) -> str:
    method = plan["method"]
    of_error = method.get("init") == "loftq"
    packed: dict[str, Any] = method["quantization"] if of_error else {}
    text = BOTTLENECKS if method["kind"] == "adapter" else QUANTISED if of_error else ADAPTED
    said = (text if folder == "adapter" else WHOLE).format(
        folder=folder,
        base=base,
        trusted=", trust_remote_code=True" * plan["model"]["trust_remote_code"],
        **packed,
    )
    if plan["model"]["chat_template"] is None:
        return said
    system = plan["data"]["system"]
    turns = [*([("system", system)] if system else []), ("user", "…")]
    messages = ", ".join(
        f'{{"role": "{role}", "content": {json.dumps(text, ensure_ascii=False)}}}' for role, text in turns
    )
    return said + ASKING.format(messages=messages)


def _measured(summary: dict[str, Any]) -> str:
    loss = summary["loss"]
    lines = {
        "training loss, first and last": _pair(loss["first"], loss["last"]),
        "validation loss, first and last": _pair(loss["first_validation"], loss["last_validation"]),
        "best validation loss": _pair(loss["best_validation"]),
        "steps": f"{summary['steps']:,} ({summary['epochs']:.2f} epochs{_continued(summary)})",
        "tokens": f"{summary['tokens']:,}",
        "trained parameters": f"{summary['trained_parameters']:,}",
        "on": f"{summary['device']}{_spent(summary)}",
    }
    return "| | |\n| --- | --- |\n" + "".join(f"| {name} | {said} |\n" for name, said in lines.items() if said)


def _continued(summary: dict[str, Any]) -> str:
    since = summary["resumed_at"]
    return "" if since is None else f"; continued after step {since:,}"


def _spent(summary: dict[str, Any]) -> str:
    """Time and speed, which are known of the last start alone."""
    if summary["resumed_at"] is not None:
        return ""
    return f", {summary['seconds']:,.0f} s, {summary['tokens_per_second']:,.0f} tokens/s"


def _pair(*values: float | None) -> str:
    """One value where it is the first and the last."""
    return " → ".join(dict.fromkeys(f"{value:.4f}" for value in values if value is not None))


def _data(plan: Plan, summary: dict[str, Any]) -> str:
    """Each source with what tells its content from another's."""
    rows = summary["rows"]["train"]
    sources = "".join(f"- {_source(each)}\n" for each in _sources(plan["data"]))
    return (
        f"{sources}\n{rows['kept']:,} rows with {rows['tokens']:,} tokens, {rows['trained_tokens']:,} of them trained "
        f"(`{plan['data']['loss_on']}`). As tokens they have the fingerprint `{Path(summary['prepared']).name}`.\n"
    )


def _source(source: dict[str, Any]) -> str:
    if not source["local"]:
        return f"`{source['path']}`, split {source['split']}, revision {source['revision'] or 'main'}"
    try:
        files = local_files(source["path"])
        hashes = ", ".join(f"`{file.name}` sha256 {digest(file)}" for file in files[:20])
    except (OSError, FileError):  # gone since it was read
        return f"`{_public(source['path'])}`"
    return hashes + (f", and {len(files) - 20} more files" if len(files) > 20 else "")
