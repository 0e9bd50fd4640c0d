"""Combinations that LLaMA-Factory cannot do, or does a little differently."""

from __future__ import annotations

from typing import Final

from backends.alike import all_sources, differs, lost, read_directly, rows, unmixable
from backends.cadence import unsayable
from backends.llamafactory.templates import TEMPLATES, chat_format, template
from schemas.diagnostic import Finding
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan, SourcePlan

FILE_KINDS: Final = (".json", ".jsonl", ".csv", ".parquet")
SHORTENED: Final = "a row over data.max_length is shortened, prompt and answer in proportion, where a turn does not fit"


def losses(plan: Plan) -> tuple[Finding, ...]:
    """What of this plan LLaMA-Factory would refuse, or quietly do otherwise."""
    return (
        *unmixable(plan, rows(plan)),
        *unsayable(plan),
        *_lost_of_model(plan),
        *_lost_of_method(plan),
        *_lost_of_template(plan),
        *_lost_of_data(plan),
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


def _lost_of_method(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    method, dtype = plan.method, plan.model.dtype
    if isinstance(method, FullPlan) and method.weights_dtype != "float32" and dtype != "bfloat16":
        found.append(lost("method.weights_dtype", "trained weights are float32, or all is bfloat16"))
    if isinstance(method, LoraPlan):
        if method.quantization and method.quantization.compute_dtype != dtype:
            found.append(lost("method.quantization.compute_dtype", f"it computes in the model's type, {dtype}"))
        if method.quantization and method.init == "pissa":
            found.append(lost("method.init", "PiSSA starts from weights that are not quantised"))
        if isinstance(method.target_modules, str):
            found.append(lost("method.target_modules", "modules are named one by one, not by a regular expression"))
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
    if found.differs:
        return [differs("model.chat_template", f'its template "{found.name}": {found.differs}')]
    return []


def _lost_of_data(plan: Plan) -> list[Finding]:
    found: list[Finding] = [*_lost_of_length(plan)]
    for _, source in all_sources(plan):
        if source.format in ("messages", "sharegpt") and plan.data.loss_on == "completion":
            found.append(lost("data.loss_on", "a conversation has turns, not one completion; write assistant"))
        if source.format not in ("messages", "sharegpt") and plan.data.loss_on == "last_assistant":
            found.append(lost("data.loss_on", f"{source.format} rows have one answer; write completion"))
    for path, source in read_directly(plan, rows(plan)):
        found += _lost_of_file(path, source)
    return found


def _lost_of_length(plan: Plan) -> list[Finding]:
    """It shortens and never drops. Where the recipe left the choice open, that is only worth a warning."""
    found: list[Finding] = []
    largest = largest_micro(plan)
    if largest and plan.training.micro_batch_size > largest:
        why = "packed rows under flash attention 2 go one at a time"
        found.append(lost("training.micro_batch_size", why, "write 1 or auto; or data.packing: false"))
    chosen = any(decision.path == "data.overlong" for decision in plan.decisions)
    if plan.data.overlong == "drop" and not chosen:
        found.append(lost("data.overlong", f"{SHORTENED}; write truncate"))
    else:
        found.append(differs("data.overlong", SHORTENED))
    return found


def _lost_of_file(path: str, source: SourcePlan) -> list[Finding]:
    """What it cannot open itself; files that ftc parts for validation are plain JSON lines."""
    found: list[Finding] = []
    if source.limit is not None:
        found.append(lost(f"{path}.limit", "it draws rows at random, and some twice"))
    if source.local and source.split != "train":
        found.append(lost(f"{path}.split", "a local file has no splits"))
    if source.local and any(mark in source.path for mark in "*?["):
        found.append(lost(f"{path}.path", "it opens one file or folder, not a pattern"))
    elif source.local and not source.path.endswith(FILE_KINDS):
        found.append(lost(f"{path}.path", f"it opens {', '.join(FILE_KINDS)} files"))
    return found
