"""What a first recipe says beside its leaves: why each is as it is, in the compiler's own figures."""

from __future__ import annotations

from compiler.starting.choosing import Choice, Draft
from schemas.facts import GIB, ModelFacts


def remarks(choice: Choice, full: Draft | None) -> dict[str, str]:
    """Path → remark."""
    draft = choice.draft
    wishes, plan = draft.wishes, draft.compiled.plan
    said = {
        "model.base": _size(wishes.facts),
        "method.kind": _method(choice, full),
        "data.train": wishes.rows.because,
        "data.validation": "the share of the rows that is kept back to watch the loss on",
        "data.max_length": "tokens; longer rows are " + _overlong(draft),
        "training.objective": _objective(draft),
        "training.global_batch_size": "packed rows an optimizer step sees"
        if plan and plan.data.packing
        else "rows an optimizer step sees",
        "hardware.gpu": _card(draft),
    }
    if plan:
        said["training.learning_rate"] = f"{plan.training.learning_rate:.1e} for {plan.method.kind}".replace(
            "e-0", "e-"
        )
    if wishes.memory:
        said["hardware.memory"] = "this machine's main memory"
    return {path: remark for path, remark in said.items() if remark}


def _size(facts: ModelFacts) -> str:
    return f"{facts.params / 1e9:.2f} billion parameters" if facts.params >= 1e8 else f"{facts.params:,} parameters"


def _method(choice: Choice, full: Draft | None) -> str:
    """What it needs, and what kept us from the others."""
    draft = choice.draft
    if not draft.need:
        return "whether it fits is not known: nothing says how much memory there is"
    passed = [item for item in choice.tried if item.method != draft.method and item.need and not item.fits]
    why = [f"{item.method} needs up to {item.need}" for item in passed]
    if full and full.need:
        why.append("full fits as well" if full.fits else f"full needs up to {full.need}")
    refused = [item.method for item in choice.tried if item.errors and not choice.tried[0].fits]
    why += [f"{method} is not for this base" for method in refused]
    return "; ".join((f"up to {draft.need}", *why))


def _overlong(draft: Draft) -> str:
    plan = draft.compiled.plan
    fates = {"split": "cut into pieces", "drop": "left out", "truncate": "cut off", "error": "errors"}
    return fates[plan.data.overlong] if plan else "left out"


def _objective(draft: Draft) -> str:
    titles = {
        "sft": "learn the answers",
        "pretrain": "learn the text, all of it",
        "dpo": "prefer the chosen answer; orpo does it without a reference",
        "orpo": "prefer the chosen answer",
        "kto": "prefer what is labelled good",
    }
    return titles[draft.wishes.objective]


def _card(draft: Draft) -> str:
    gpu = draft.wishes.gpu
    return f"{gpu.title}, {gpu.memory / GIB:.1f} GiB" if gpu.memory and not gpu.is_cpu else ""
