# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""An adapter merged into its base, and proof that the merged model says what base and adapter say together.

Copied as it stands into every native artifact, so it imports nothing of the compiler. The base is loaded anew in the
type of `model.dtype`: into 4 bit an adapter would not survive. What is looked at is the model as it is read back from
the disk, and it gets its place only if it is right.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from backends.native.disk import write_folder
from backends.native.files import digest
from backends.native.model import ModelError, Plan, load_base, loading, one_by_one
from backends.native.serving import unmergeable
from backends.native.tokenizer import end_of_turn
from backends.native.vocabulary import make_room

PROOF = "merged.json"
"""The file in the merged model's folder that says what was measured."""
TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 6e-2}
"""The largest difference of a logit, over the largest logit, by the type that the weights are merged in."""
NOISE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
"""The same of root mean squares, below which a type cannot tell one model from another."""
QUANTISED = re.compile(r"Linear\d+bit")
"""What bitsandbytes calls its layers."""
KEPT = 0.5
"""A merged model farther from the adapter than this share of what the adapter changes has not been merged."""
ASKED = (
    "What is the capital of France?",
    "Write one sentence about the sea, and one about mountains.",
    "12 eggs, 3 kg of flour, and milk: what is missing for pancakes?",
)
WRITTEN = (
    "The train to Bern leaves at 7:45 and",
    "def area(width, height):\n    return",
    "Es war einmal eine alte Frau,",
)


class MergeError(Exception):
    """Why there is no merged model, in words for its owner."""


def merge(plan: Plan, adapter: Path, target: Path, card: str = "") -> dict[str, Any]:
    """Merge the adapter of a folder into its base as it was before quantisation; what was measured. One that makes up
    for the base's quantisation is merged into the weights that are left of it.

    In main memory: on the card it would stand beside the model that was trained, which the plan did not allow for.
    Raises `MergeError` where it cannot be merged or is not what it should be, and then leaves nothing behind.
    """
    if why := unmergeable(plan):
        raise MergeError(why)
    plan = one_by_one(plan, "cpu")
    found: dict[str, Any] = {}

    def write(folder: Path) -> None:
        prompts = _write(plan, adapter, folder, found)
        gc.collect()  # the next one takes its place in memory
        _look(plan, adapter, folder, prompts, found)
        proof = {"adapter_sha256": weights_digest(adapter), **_numbers(found)}
        (folder / PROOF).write_text(json.dumps(proof, indent=2) + "\n", "utf-8")
        (folder / "README.md").write_text(card, "utf-8")

    write_folder(target, write)
    return _numbers(found)


def weights_digest(adapter: Path) -> str:
    """What tells an adapter from others."""
    return digest(adapter / "adapter_model.safetensors")


def told(found: dict[str, Any]) -> str:
    """What was measured, for a person."""
    return (
        f"logits of the merged model and of base and adapter differ by at most {found['difference']:.1e} of the "
        f"largest\n  (tolerance {found['tolerance']:.0e} in {found['dtype']}; {found['tokens']} tokens of "
        f"{found['prompts']} prompts); the adapter changes them by {found['effect']:.1e}\n"
        "  vocabulary, tokenizer and chat template are the run's"
    )


def stop_where_answers_end(model: Any, tokenizer: Any) -> None:
    """Generation ends where answers ended in training, whatever the base's own settings say."""
    settings = model.generation_config
    before = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    token = end_of_turn(tokenizer)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(token) if token else None]
    wanted = list(dict.fromkeys(each for each in (*before, *ends) if isinstance(each, int)))
    settings.eos_token_id = wanted[0] if len(wanted) == 1 else wanted or None


def _write(plan: Plan, adapter: Path, folder: Path, found: dict[str, Any]) -> list[list[int]]:
    """The merged model into a folder; the prompts that it was asked before, as tokens."""
    of_error = plan["method"].get("init") == "loftq"
    base, tokenizer = load_base(plan, "cpu", quantized=of_error), _tokenizer(adapter, plan)
    make_room(base, plan, tokenizer)
    base = base.dequantize() if of_error else base
    if any(QUANTISED.match(type(module).__name__) for module in base.modules()):
        raise MergeError("the base is still quantised, and an adapter merged into it would lose precision (FTC204)")
    prompts = _prompts(tokenizer)
    found["base"], found["rows"] = logits(base, prompts), base.get_input_embeddings().weight.shape[0]
    model = PeftModel.from_pretrained(base, str(adapter)).eval()
    found["adapter"] = logits(model, prompts)
    try:
        merged: Any = model.merge_and_unload(safe_merge=True)
    except ValueError as error:  # weights that are no numbers
        raise MergeError(f"the adapter cannot be merged: {error}") from error
    stop_where_answers_end(merged, tokenizer)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return prompts


def _look(plan: Plan, adapter: Path, folder: Path, prompts: list[list[int]], found: dict[str, Any]) -> None:
    """The merged model as anybody will load it, beside what it was made of."""
    dtype = plan["model"]["dtype"]
    try:
        options = loading(plan, "cpu", quantized=False)
        merged: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise ModelError(f"the merged model cannot be read back: {error}") from error
    found["merged"] = logits(merged, prompts)
    found |= {"dtype": dtype, "tolerance": TOLERANCE[dtype], "prompts": len(prompts), "tokens": sum(map(len, prompts))}
    found["difference"] = largest(found["merged"], found["adapter"])
    found["effect"] = largest(found["base"], found["adapter"])
    rows = merged.get_input_embeddings().weight.shape[0]
    if rows != found["rows"] or merged.config.get_text_config().vocab_size != rows:
        raise MergeError(f"the vocabulary changed: {found['rows']} tokens in the base, {rows} in the merged model")
    _same_tokenizer(_tokenizer(adapter, plan), _tokenizer(folder, plan))
    if problem := disagreement(found):
        raise MergeError(problem)


def disagreement(found: dict[str, Any]) -> str | None:
    """Why the merged model is not what base and adapter are together; None where it is."""
    if not found["difference"] <= found["tolerance"]:  # also where it is no number
        return (
            f"the merged model does not say what base and adapter say: logits differ by {found['difference']:.1e} of "
            f"the largest, and {found['tolerance']:.0e} is what {found['dtype']} may lose (FTC621)"
        )
    lost, changed = (_apart(found["adapter"], found[name]) for name in ("merged", "base"))
    if not lost <= max(NOISE[found["dtype"]], KEPT * changed):
        return (
            f"merging lost what was learnt: the adapter changes logits by {changed:.1e} (root mean square), and the "
            f"merged model is {lost:.1e} away from it (FTC621)"
        )
    return None


@torch.no_grad()
def logits(model: Any, prompts: Sequence[list[int]]) -> list[torch.Tensor]:
    """What a model says after each token of each prompt, computed in float32 whatever its weights are kept in."""
    with in_float32(model.eval()):
        return [model(input_ids=torch.tensor([ids])).logits[0].float() for ids in prompts]


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """While entered, every module computes in float32, its weights converted only as long as it does: so that what two
    models differ by is their weights, and the whole of them need not be there twice."""
    kept: dict[torch.nn.Module, dict[str, torch.Tensor]] = {}

    def convert(module: torch.nn.Module, _: Any) -> None:
        own = module.named_parameters(recurse=False)
        kept[module] = {name: item.data for name, item in own if item.is_floating_point()}
        for name, data in kept[module].items():
            module.get_parameter(name).data = data.float()

    def restore(module: torch.nn.Module, *_: Any) -> None:
        for name, data in kept.pop(module, {}).items():
            module.get_parameter(name).data = data

    hooks = [module.register_forward_pre_hook(convert) for module in model.modules()]
    hooks += [module.register_forward_hook(restore, always_call=True) for module in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def largest(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest difference, over the largest logit."""
    shares = [(a - b).abs().max() / b.abs().max() for a, b in zip(one, other, strict=True)]
    return float(torch.stack(shares).max())  # one that is no number stays what it is, as in no comparison


def _apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The same of root mean squares."""
    a, b = torch.cat(one), torch.cat(other)
    return float((a - b).square().mean().sqrt() / a.square().mean().sqrt())


def _prompts(tokenizer: Any) -> list[list[int]]:
    """Questions as the chat template asks them, and beginnings of texts."""
    texts = list(WRITTEN)
    if tokenizer.chat_template:
        asked = [[{"role": "user", "content": text}] for text in ASKED]
        texts += tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    coded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return [ids for ids in coded if ids]


def _tokenizer(folder: Path, plan: Plan) -> Any:
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=plan["model"]["trust_remote_code"])


def _same_tokenizer(one: Any, other: Any) -> None:
    text = "".join(ASKED + WRITTEN)
    alike = {
        "vocabulary": one.get_vocab() == other.get_vocab(),
        "special tokens": one.special_tokens_map == other.special_tokens_map,
        "way of cutting texts into tokens": one(text)["input_ids"] == other(text)["input_ids"],
        "chat template": one.chat_template == other.chat_template,
    }
    changed = [name for name, same in alike.items() if not same]
    if changed:
        raise MergeError(f"the merged model has another {' and '.join(changed)} than the run (FTC621)")


def _numbers(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("difference", "tolerance", "effect", "dtype", "prompts", "tokens")}
