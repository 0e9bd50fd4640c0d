"""Single changes to a recipe that save memory, each with what it does to the result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from backends.kernels import LIGER
from compiler.memory.fixes.change import Change, Harm, Ladder
from compiler.memory.fixes.method_changes import fewer_bits, lesser_methods, lower_ranks, narrower_adapters
from compiler.memory.loss import LIGER_LOSS
from schemas.facts import GIB
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan
from schemas.recipe import Attention, Strategy

SHORTEST: Final = 512
"""Tokens below which shortening rows is not proposed."""
BUSY_TOKENS: Final = 2048
"""Tokens of a forward pass that keep a card busy."""
LENGTHS: Final = 64
"""Lengths that are proposed are multiples of it."""
SHARDS: Final[tuple[Strategy, ...]] = ("zero2", "fsdp", "zero3")
"""Strategies that shard, those that send least first."""
TRAFFIC: Final[dict[Strategy, str]] = {
    "zero2": "cards send each other as much as whole copies do (ZeRO, arXiv 1910.02054)",
    "fsdp": "cards send each other half as much again as whole copies do (ZeRO, arXiv 1910.02054)",
    "zero3": "cards send each other half as much again as whole copies do (ZeRO, arXiv 1910.02054)",
}


def ladders(plan: Plan, stack: Stack, footprint: Footprint) -> tuple[Ladder, ...]:
    """Every kind of change that this plan has room for; among equally harmful ones, the faster kinds first."""
    cpu = plan.gpu is not None and plan.gpu.is_cpu
    found = _of_cpu(plan, stack, footprint) if cpu else _of_card(plan, stack, footprint)
    return tuple(ladder for ladder in map(tuple, found) if ladder)


def _of_card(plan: Plan, stack: Stack, footprint: Footprint) -> Iterator[Iterator[Change]]:
    yield _loss(plan, stack)
    yield _kernels(plan, stack)
    yield _attention(plan)
    yield _evaluation(plan, footprint)
    yield _micro(plan)
    yield _sharding(plan)
    yield _optimizer(plan, footprint)
    yield _checkpointing(plan, offloads=True)
    yield _no_evaluation(plan, footprint)
    yield narrower_adapters(plan)
    yield _packing(plan)
    yield fewer_bits(plan)
    yield lesser_methods(plan)
    yield _lengths(plan, stack)
    yield lower_ranks(plan)


def _of_cpu(plan: Plan, stack: Stack, footprint: Footprint) -> Iterator[Iterator[Change]]:
    """Where all is main memory, and kernels for cards do not run."""
    yield _evaluation(plan, footprint)
    yield _micro(plan)
    yield _checkpointing(plan, offloads=False)
    yield _no_evaluation(plan, footprint)
    yield _lengths(plan, stack)
    yield lower_ranks(plan)


def _loss(plan: Plan, stack: Stack) -> Iterator[Change]:
    """The same loss without the logits as a whole. TRL's backward pass makes each piece anew."""
    training = plan.training
    if training.loss == "chunked" or training.objective not in ("sft", "pretrain"):
        return
    again = 2 * plan.facts.vocab * plan.facts.hidden
    more = f"; the head is applied twice, {again / 1e9:.1f} GFLOP a token more" if stack == "native" else ""
    yield Change({"training.loss": "chunked"}, Harm.NONE, f"the same loss, from the logits in pieces{more}")


def _kernels(plan: Plan, stack: Stack) -> Iterator[Change]:
    """Liger's norms and mlp; its loss too, where the stack has no chunked one of its own."""
    if plan.training.kernels != "none" or plan.facts.family not in LIGER.get(stack, ()):
        return
    with_loss = stack in LIGER_LOSS and plan.training.objective in ("sft", "pretrain")
    costs = "the same loss and layers, by Liger's kernels, which never make the logits whole"
    layers = "the same layers, by Liger's kernels, from the package liger-kernel"
    yield Change({"training.kernels": "liger"}, Harm.NONE, costs if with_loss else layers)


def _attention(plan: Plan) -> Iterator[Change]:
    """Kernels that write out no scores, or no mask over them. SDPA leaves out a soft-cap."""
    model, gpu = plan.model, plan.gpu
    found: list[Attention] = []
    if model.attention == "eager" and not plan.facts.beyond_sdpa:
        found.append("sdpa")
    ampere = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability >= 8
    if model.attention in ("eager", "sdpa") and ampere and model.dtype != "float32":
        found.append("flash_attention_2")
    for name in found:
        needs = ", from the package flash-attn" if name != "sdpa" else ""
        yield Change({"model.attention": name}, Harm.NONE, f"the same attention by a fused kernel{needs}")


def _evaluation(plan: Plan, footprint: Footprint) -> Iterator[Change]:
    """Fewer rows at once in evaluation, which can be the peak."""
    asked = plan.evaluation.batch_size
    size = asked // 2 if footprint.phases.eval else 0
    while size:
        costs = f"the same losses from evaluation of {size} instead of {asked} rows at a time"
        yield Change({"evaluation.batch_size": size}, Harm.NONE, costs)
        size //= 2


def _no_evaluation(plan: Plan, footprint: Footprint) -> Iterator[Change]:
    """Unless the best checkpoint is asked for, which only evaluation can tell."""
    if footprint.phases.eval and not plan.checkpoint.best:
        costs = "training is the same, and no validation loss is seen"
        yield Change({"evaluation.every": None}, Harm.ROUNDED, costs)


def _micro(plan: Plan) -> Iterator[Change]:
    """The same step, from smaller forward passes. KTO compares the rows of a batch, so it needs two."""
    micro, share = plan.training.micro_batch_size, plan.training.global_batch_size // plan.devices
    least = 2 if plan.training.objective == "kto" else 1
    for size in range(micro - 1, least - 1, -1):
        if share % size == 0:
            tokens = size * plan.data.max_length
            idle = f"; {tokens:,} tokens at once keep a card less busy" if tokens < BUSY_TOKENS else ""
            costs = f"the same steps, each from {share // size} passes instead of {share // micro}{idle}"
            yield Change({"training.micro_batch_size": size}, Harm.NONE, costs)


def _sharding(plan: Plan) -> Iterator[Change]:
    """Weights and state spread over the cards that are there instead of copied to each."""
    if plan.hardware.strategy == "ddp":
        for strategy in SHARDS:
            yield Change({"hardware.strategy": strategy}, Harm.NONE, f"the same result; {TRAFFIC[strategy]}")


def _optimizer(plan: Plan, footprint: Footprint) -> Iterator[Change]:
    """AdamW's state in main memory, or in 8 bit, or both."""
    state = f"{footprint.parts.optimizer / GIB:.1f} GiB of"
    paged = f"the same steps; {state} optimizer state may cross to main memory and back in each"
    rounded = "optimizer state is rounded to 8 bits; results as with 32 are reported (arXiv 2110.02861)"
    asked = plan.training.optimizer
    if asked == "adamw":
        yield Change({"training.optimizer": "paged_adamw"}, Harm.NONE, paged)
        yield Change({"training.optimizer": "adamw_8bit"}, Harm.ROUNDED, rounded)
    if asked == "adamw_8bit":
        yield Change({"training.optimizer": "paged_adamw_8bit"}, Harm.NONE, paged)


def _checkpointing(plan: Plan, *, offloads: bool) -> Iterator[Change]:
    """Activations computed again instead of kept; then the layers' inputs in main memory, where `offloads` says that
    there is another. Prefix tuning can do neither."""
    asked, path = plan.training.gradient_checkpointing, "training.gradient_checkpointing"
    if asked == "offload" or plan.method.kind == "prefix_tuning":
        return
    said = ["the same result"]
    if asked is not True:
        said.append("the forward pass is done a second time")
        yield Change({path: True}, Harm.NONE, "; ".join(said))
    if offloads:
        tokens = plan.training.micro_batch_size * plan.data.max_length
        size = 2 * plan.facts.layers * plan.facts.hidden * tokens / GIB
        said.append(f"up to {size:.1f} GiB of layers' inputs go to main memory and back in each pass")
        yield Change({path: "offload"}, Harm.NONE, "; ".join(said))


def _packing(plan: Plan) -> Iterator[Change]:
    """No mask over all pairs of positions for documents that share a row."""
    if plan.data.packing:
        costs = "padding is computed, and a step sees as many rows as it saw packs of rows"
        yield Change({"data.packing": False}, Harm.ROUNDED, costs)


def _lengths(plan: Plan, stack: Stack) -> Iterator[Change]:
    """Seven eighths of the length, and so on down to one."""
    asked = plan.data.max_length
    lengths = dict.fromkeys(asked * part // 8 // LENGTHS * LENGTHS for part in range(7, 0, -1))
    for length in lengths:
        if SHORTEST <= length < asked:
            yield Change({"data.max_length": length}, Harm.OTHER, _loses(plan, stack, length))


def _loses(plan: Plan, stack: Stack, length: int) -> str:
    fate = {
        "drop": "are left out",
        "truncate": "are cut off",
        "split": "are cut into more pieces",
        "error": "are errors",
    }
    shortened = stack == "llamafactory" and plan.data.overlong == "drop"
    return f"rows over {length} tokens {'are shortened' if shortened else fate[plan.data.overlong]}"
