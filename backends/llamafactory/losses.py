"""Combinations that LLaMA-Factory cannot do, or does a little differently."""

from __future__ import annotations

from typing import Final

from backends.alike import (
    all_sources,
    chosen,
    differs,
    lost,
    merged_by_hand,
    read_directly,
    unchecked,
    unmixable,
    unoffloadable,
    untrained_tokens,
)
from backends.cadence import unsayable
from backends.kernels import unreplaced
from backends.llamafactory.data import raw_text, reading
from backends.llamafactory.templates import TEMPLATES, template
from backends.turns import chat_format, end_of_turn, has_end
from schemas.diagnostic import Finding
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

SHORTENED: Final = "a row over data.max_length is shortened, prompt and answer in proportion, where a turn does not fit"


def losses(plan: Plan) -> tuple[Finding, ...]:
    """What of this plan LLaMA-Factory would refuse, or quietly do otherwise."""
    return (
        *unmixable(plan, reading(plan)),
        *unchecked(reading(plan)),
        *untrained_tokens(plan),
        *_parted_tokens(plan),
        *unoffloadable(plan),
        *merged_by_hand(plan),
        *unreplaced(plan, "llamafactory"),
        *unsayable(plan),
        *_lost_of_model(plan),
        *_lost_of_method(plan),
        *_lost_of_template(plan),
        *_lost_of_data(plan),
        *_lost_of_sharding(plan),
        *_lost_of_trackers(plan),
    )


def largest_micro(plan: Plan) -> int | None:
    """1 where rows are packed under flash attention 2: it stops at more (llamafactory/hparams/parser.py)."""
    return 1 if plan.data.packing and plan.model.attention == "flash_attention_2" else None


def _lost_of_model(plan: Plan) -> list[Finding]:
    """It loads a base in the type it is stored in, whatever it computes in (llamafactory/model/loader.py)."""
    stored, dtype = plan.facts.dtype, plan.model.dtype
    upcast = isinstance(plan.method, FullPlan) and plan.method.weights_dtype == "float32"
    if stored in (None, dtype) or upcast:
        return []
    if "float32" in (stored, dtype):
        return [lost("model.dtype", f"the base is loaded in the type it is stored in, {stored}")]
    return [differs("model.dtype", f"the base stays in the type it is stored in, {stored}; it computes in {dtype}")]


def _parted_tokens(plan: Plan) -> list[Finding]:
    """It parts the text that names them at commas, and strips each (llamafactory/hparams/model_args.py)."""
    parted = [token for token in plan.model.tokens.add if "," in token or token != token.strip()]
    return [lost("model.tokens.add", f'"{parted[0]}" would be read as other tokens')] if parted else []


def _lost_of_method(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    method, dtype = plan.method, plan.model.dtype
    if isinstance(method, FullPlan) and method.weights_dtype != "float32" and dtype != "bfloat16":
        found.append(lost("method.weights_dtype", "trained weights are float32, or all is bfloat16"))
    if isinstance(method, LoraPlan):
        if method.modules_to_save and dtype == "bfloat16":
            found.append(differs("method.modules_to_save", "they are trained in float32, as all else that is trained"))
        if method.quantization and method.quantization.compute_dtype != dtype:
            found.append(lost("method.quantization.compute_dtype", f"it computes in the model's type, {dtype}"))
        if method.quantization and method.init == "pissa":
            found.append(lost("method.init", "PiSSA starts from weights that are not quantised"))
        if method.lora_plus_ratio and plan.training.optimizer == "muon":
            found.append(lost("training.optimizer", "LoRA+ takes AdamW in its place"))
        if method.init == "pissa" and not method.quantization and plan.training.objective in ("dpo", "kto"):
            found.append(lost("method.init", f"it has no PiSSA for {plan.training.objective}"))
        if method.quantization and plan.model.tokens.add:
            found.append(lost("model.tokens.add", "a quantised base gets no new rows for them"))
        if isinstance(method.target_modules, str):
            found.append(lost("method.target_modules", "modules are named one by one, not by a regular expression"))
        elif fused := [item.name for item in plan.facts.linears if item.fused and item.name in method.target_modules]:
            found.append(lost("method.target_modules", f"fused experts ({', '.join(fused)}) get no adapters there"))
    return found


def _lost_of_template(plan: Plan) -> list[Finding]:
    named = plan.model.chat_template
    if named is None:
        why = "prompts and completions are always written in a chat template"
        return [lost(f"{path}.format", why) for path, item in all_sources(plan) if item.format == "prompt_completion"]
    if named.endswith(".jinja"):
        return [Finding("FTC403", "model.chat_template", f'"{named}" cannot be used: LLaMA-Factory takes no Jinja')]
    found = template(plan)
    if found is None:
        known = ", ".join(sorted(TEMPLATES))
        return [lost("model.chat_template", f'no template of its own writes "{chat_format(plan)}"; it writes {known}')]
    told = [differs("model.chat_template", f'its template "{found.name}": {found.differs}')] if found.differs else []
    return [*told, *_unmarked(plan)]


def _unmarked(plan: Plan) -> list[Finding]:
    """It adds the tokens of its templates where they are missing, and makes no room for them in the model
    (`fix_special_tokens` in llamafactory/data/template.py)."""
    known = has_end(plan)
    if known:
        return []
    if known is None:
        return [differs("model.chat_template", f"where the tokenizer has no {end_of_turn(plan)} it adds it, and fails")]
    why = f"this tokenizer has no {end_of_turn(plan)}, and no room is made for it in the model"
    return [lost("model.chat_template", why)]


def _lost_of_data(plan: Plan) -> list[Finding]:
    found = _lost_of_text(plan) if raw_text(plan) else _lost_of_length(plan)
    for path, source in all_sources(plan):
        if (source.format == "text") != raw_text(plan):
            found.append(lost(f"{path}.format", "raw text and conversations are stages of their own there"))
        if source.format in ("messages", "sharegpt") and plan.data.loss_on == "completion":
            found.append(lost("data.loss_on", "a conversation has turns, not one completion; write assistant"))
        if source.format not in ("messages", "sharegpt") and plan.data.loss_on == "last_assistant":
            found.append(lost("data.loss_on", f"{source.format} rows have one answer; write completion"))
    for path, source in read_directly(plan, reading(plan)):
        if source.local and source.split != "train":
            found.append(lost(f"{path}.split", "a local file has no splits"))
    return found


def _lost_of_text(plan: Plan) -> list[Finding]:
    """Its stage for raw text (llamafactory/data/processor/pretrain.py)."""
    found = [differs("data.train[0].format", "raw text begins without the token that begins a sequence")]
    if plan.data.packing:
        why = "raw text is packed end to end, and documents see each other"
        found.append(lost("data.packing", why, "write false"))
    if plan.data.overlong != "truncate":
        found.append(lost("data.overlong", "of raw text only the first max_length tokens are kept", "write truncate"))
    return found


def _lost_of_length(plan: Plan) -> list[Finding]:
    """It shortens and never drops. Where the recipe left the choice open, that is only worth a warning."""
    found: list[Finding] = []
    largest = largest_micro(plan)
    if largest and plan.training.micro_batch_size > largest:
        why = "packed rows under flash attention 2 go one at a time"
        found.append(lost("training.micro_batch_size", why, "write 1 or auto; or data.packing: false"))
    if plan.data.overlong == "drop" and chosen("data.overlong", plan):
        found.append(lost("data.overlong", f"{SHORTENED}; write truncate"))
    else:
        found.append(differs("data.overlong", SHORTENED))
    return found


def _lost_of_sharding(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    if plan.hardware.strategy == "fsdp" and plan.hardware.nodes > 1:
        found.append(lost("hardware.nodes", "FSDP goes through a file of accelerate, which names one machine's rank"))
    if plan.hardware.strategy == "zero3" and plan.lora and plan.lora.init == "pissa":
        found.append(lost("method.init", "PiSSA reads whole weights, which ZeRO-3 has parted"))
    return found


def _lost_of_trackers(plan: Plan) -> list[Finding]:
    """It pins gradio below 6, and its transformers huggingface_hub above 1; no trackio wants both."""
    if "trackio" not in plan.logging.to:
        return []
    return [
        lost("logging.to", "no version of trackio can be installed beside it", "write tensorboard, wandb or mlflow")
    ]
