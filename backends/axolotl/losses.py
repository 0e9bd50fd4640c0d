"""Combinations that Axolotl cannot do, or would quietly do otherwise."""

from __future__ import annotations

from typing import Final

from backends.alike import (
    all_sources,
    bounded_by_trl,
    chosen,
    differs,
    lost,
    merged_by_hand,
    of_kto,
    read_directly,
    shape,
    shortened_by_trl,
    unchecked,
    unmixable,
    unoffloadable,
    unreadable_template,
    untrained_tokens,
)
from backends.axolotl.data import reading
from backends.axolotl.method import targets
from backends.axolotl.table import TRACKERS
from backends.cadence import cadence, evaluation, unsayable, warmup_steps
from backends.kernels import unreplaced
from backends.turns import end_of_turn, has_end
from schemas.diagnostic import Finding
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan, SourcePlan

OTHERWISE_TRAINED: Final = {
    "llama2": "it does not train the space that this template writes after an answer",
    "phi3": "after the last answer it also trains the end of the text",
    "phi4-mini": "after the last answer it also trains the end of the text",
    "qwen3": "it does not train the empty thought that this template writes before the last answer",
}
"""Chat formats of which it finds other tokens to be the answer, though the text is the same: compared by
`make conformance`, which renders each with Axolotl's own code."""


def largest_micro(plan: Plan) -> int | None:  # noqa: ARG001 - the signature is that of every target
    """None: Axolotl has no limit of its own."""
    return None


def losses(plan: Plan) -> tuple[Finding, ...]:
    """Combinations that Axolotl cannot do, or would quietly do otherwise."""
    return (
        *unmixable(plan, reading(plan)),
        *unchecked(reading(plan)),
        *unsayable(plan),
        *unreadable_template(plan),
        *untrained_tokens(plan),
        *unoffloadable(plan),
        *merged_by_hand(plan),
        *unreplaced(plan, "axolotl"),
        *_lost_of_method(plan),
        *_lost_of_template(plan),
        *_lost_of_preference(plan),
        *_lost_of_data(plan),
        *_lost_of_sharding(plan),
        *_lost_of_run(plan),
        *_differs_by_seed(plan),
    )


def _lost_of_method(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    method, dtype = plan.method, plan.model.dtype
    if isinstance(method, FullPlan):
        found += _lost_of_full(plan, method)
    if isinstance(method, LoraPlan):
        found += _lost_of_adapters(plan, method)
        quantization = method.quantization
        if quantization and quantization.bits == 8 and quantization.compute_dtype != dtype:
            found.append(
                lost("method.quantization.compute_dtype", f"8-bit weights compute in the model's type, {dtype}")
            )
        if quantization and quantization.bits == 8 and dtype == "float32":
            found.append(lost("model.dtype", "an 8-bit base computes in bfloat16 or float16"))
        if method.lora_plus_ratio and plan.training.optimizer == "muon":
            found.append(lost("method.lora_plus_ratio", "Muon has one learning rate", "write null"))
        if method.modules_to_save and dtype == "float16":
            why = "they would be trained in float16, which scaled gradients refuse"
            found.append(lost("method.modules_to_save", why))
        if method.lora_plus_ratio and plan.training.weight_decay:
            found.append(lost("training.weight_decay", "with LoRA+ nothing is decayed", "write 0.0"))
        if method.dropout and targets(plan, method)[1]:
            found.append(lost("method.dropout", "adapters of fused experts have none"))
    return found


def _lost_of_adapters(plan: Plan, method: LoraPlan) -> list[Finding]:
    """DPO and KTO leave it to TRL to make the adapters, which knows no type of theirs (`_load_adapters` in
    axolotl/loaders/model.py; `prepare_peft_model` in trl)."""
    path, dtype, asked = "method.adapter_dtype", plan.model.dtype, method.adapter_dtype
    theirs = "float32"
    if plan.training.objective in ("dpo", "kto"):
        theirs = "bfloat16" if method.quantization else "float32"
    elif asked == dtype and not method.quantization:
        theirs = dtype
    if theirs == asked:
        return []
    how = f"adapters are {theirs} here"
    return [lost(path, how, f"write {theirs}") if chosen(path, plan) or dtype == "float16" else differs(path, how)]


def _lost_of_saved_modules(plan: Plan) -> list[Finding]:
    """TRL's `prepare_peft_model` makes all that is trained over a quantised base bfloat16."""
    lora = plan.lora
    if plan.training.objective == "orpo" or not (lora and lora.quantization and lora.modules_to_save):
        return []
    return [lost("method.modules_to_save", "they are bfloat16 here")] if plan.model.dtype == "float32" else []


def _lost_of_full(plan: Plan, method: FullPlan) -> list[Finding]:
    """`_configure_embedding_dtypes` in axolotl/loaders/model.py."""
    path, dtype = "method.weights_dtype", plan.model.dtype
    if method.weights_dtype != dtype:
        return [lost(path, f"trained weights have the model's type, {dtype}")]
    if dtype == "float32" or plan.hardware.strategy == "fsdp" or plan.model.attention not in ("sdpa", "eager"):
        return []
    how = f"norms, embeddings and head are float32 beside {plan.model.attention} attention, more than is weighed"
    return [differs(path, how)]


def _lost_of_preference(plan: Plan) -> list[Finding]:
    """Compared answers go to TRL's trainers, which know less than Axolotl's own."""
    if plan.training.preference is None:
        return []
    found = [*shortened_by_trl(plan), *bounded_by_trl(plan), *of_kto(plan), *_lost_of_saved_modules(plan)]
    if not plan.data.shuffle and plan.training.objective != "kto":
        found.append(lost("data.shuffle", "rows with compared answers are always drawn at random"))
    if plan.checkpoint.best and evaluation(plan).strategy != "no":
        found.append(lost("checkpoint.best", "with compared answers the last checkpoint is the one that is kept"))
    if plan.training.neftune_alpha is not None:
        found.append(lost("training.neftune_alpha", "it is not handed on with compared answers"))
    if plan.hardware.strategy == "fsdp" and plan.quantization:
        found.append(lost("hardware.strategy", "with FSDP2 a quantised base has no compared answers"))
    return found


def _lost_of_template(plan: Plan) -> list[Finding]:
    """It trains the end of a turn where it is one token (`_validate_eot_and_eos_tokens` in prompt_strategies)."""
    if has_end(plan) is not False:
        trained = OTHERWISE_TRAINED.get(plan.facts.chat_format or "")
        rendered = (
            plan.model.chat_template == "tokenizer" and plan.data.loss_on != "all" and not plan.training.preference
        )
        return [differs("model.chat_template", trained)] if trained and rendered else []
    why = f"this tokenizer has no {end_of_turn(plan)}, so that the end of a turn goes untrained"
    return [lost("model.chat_template", why)]


def _lost_of_data(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    for path, source in all_sources(plan):
        found += _lost_of_source(plan, path, source)
    for path, source in read_directly(plan, reading(plan)):
        if source.local and source.split != "train":
            found.append(lost(f"{path}.split", "a local file has no splits"))
    if plan.data.loss_on == "all" and any(shape(source, plan) == "messages" for source in plan.data.train):
        found.append(
            differs("data.loss_on", "the words of all turns are trained, but not what the template writes around them")
        )
    return found


def _lost_of_source(plan: Plan, path: str, source: SourcePlan) -> list[Finding]:
    found: list[Finding] = []
    overlong, loss_on = plan.data.overlong, plan.data.loss_on
    if source.format == "text" and overlong != "split":
        found.append(lost("data.overlong", "raw text is always cut into pieces of max_length tokens"))
    if source.format == "text" and loss_on != "all":
        found.append(lost("data.loss_on", "all of raw text is trained"))
    if source.format in ("messages", "sharegpt") and loss_on == "completion":
        found.append(lost("data.loss_on", "a conversation has turns, not one completion; write assistant"))
    if source.format in ("preference", "kto") and source.fields.tools:
        found.append(lost(f"{path}.fields.tools", "compared answers have no tools there"))
    return found


def _lost_of_sharding(plan: Plan) -> list[Finding]:
    strategy, optimizer = plan.hardware.strategy, plan.training.optimizer
    if strategy == "fsdp" and optimizer == "adamw_8bit":
        return [lost("training.optimizer", "with FSDP2 it refuses adamw_8bit", "write adamw or adamw_4bit")]
    if strategy in ("zero2", "zero3") and optimizer == "muon":
        return [lost("training.optimizer", "with DeepSpeed it refuses muon", "write adamw, or hardware.strategy: fsdp")]
    return []


def _lost_of_run(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    steps = evaluation(plan).steps and cadence(plan.checkpoint.every, plan).steps
    if plan.checkpoint.best and evaluation(plan).strategy != "no" and not steps:
        found.append(
            lost("checkpoint.best", "the best checkpoint is only looked for at steps; write a number of steps")
        )
    if warmup_steps(plan) == 1:
        found.append(differs("training.warmup", "a warm-up of one step is made one of two"))
    if plan.accumulation > 1 and plan.training.preference is None:
        # `self.model_accepts_loss_kwargs = False` in axolotl/core/trainers/base.py: no trained tokens are counted.
        how = f"each of a step's {plan.accumulation} micro batches weighs the same, however many trained tokens it has"
        found.append(differs("training.global_batch_size", how))
    if plan.devices > 1:
        found.append(differs("hardware.count", "each card averages over its own trained tokens, not over all cards'"))
    if plan.logging.project != plan.name and not set(plan.logging.to) & TRACKERS.keys():
        unused = f"unused, as logging.to has none of {', '.join(TRACKERS)}, which have projects"
        found.append(differs("logging.project", unused))
    return found


def _differs_by_seed(plan: Plan) -> list[Finding]:
    """What is drawn while the model is loaded (`get_peft_model` in axolotl/loaders/adapter.py, the embeddings of new
    tokens in axolotl/loaders/model.py), before `Trainer.__init__` sets the seed. PiSSA and OLoRA draw nothing."""
    drawn: list[str] = []
    if plan.lora and plan.lora.init not in ("pissa", "olora"):
        drawn.append("adapters")
    if plan.model.tokens.add:
        drawn.append("embeddings of new tokens")
    if not drawn:
        return []
    what = " and ".join(drawn)
    return [
        differs("training.seed", f"{what} begin at other random values in each run: they are drawn before it is set")
    ]
