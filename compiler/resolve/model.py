"""The plan's `model` section."""

from __future__ import annotations

from compiler.data.files import expand, is_local
from compiler.data.recognise import PLAIN, first_rows
from compiler.resolve.ground import Ground
from schemas.plan import DataPlan, ModelPlan, SourcePlan, TokensPlan, is_sources
from schemas.recipe import Attention
from schemas.section import Dtype


def model_plan(ground: Ground, data: DataPlan) -> ModelPlan:
    """The base, its type and its attention, all said."""
    model = ground.recipe.model
    return ModelPlan(
        base=_base(ground),
        revision=model.revision,
        dtype=_dtype(ground),
        attention=_attention(ground),
        trust_remote_code=model.trust_remote_code,
        tokenizer=_place(ground, model.tokenizer),
        chat_template=_chat_template(ground, data),
        tokens=TokensPlan(model.tokens.pad, model.tokens.eos, model.tokens.bos, model.tokens.add),
    )


def _base(ground: Ground) -> str:
    if ground.facts.origin == "folder":
        return ground.absolute(ground.recipe.model.base)
    base = ground.recipe.model.base
    return base if "/" in base else ground.facts.hub_id or base


def _place(ground: Ground, name: str | None) -> str | None:
    """A hub id as it stands, a folder as an absolute path."""
    if name is None or not (is_local(name) or (ground.folder / name).is_dir()):
        return name
    return ground.absolute(name)


def _dtype(ground: Ground) -> Dtype:
    asked, gpu = ground.recipe.model.dtype, ground.gpu
    if asked != "auto":
        return asked
    if gpu is None:
        return ground.decide("model.dtype", "bfloat16", "no GPU is named; every data-center card since 2020 has it")
    if gpu.is_cpu:
        return ground.decide("model.dtype", "float32", "a cpu computes bfloat16 tens of times slower")
    if gpu.has_bf16:
        return ground.decide("model.dtype", "bfloat16", f"{gpu.title} computes it in hardware")
    return ground.decide("model.dtype", "float16", f"{gpu.title} has no bfloat16")


def _attention(ground: Ground) -> Attention:
    asked = ground.recipe.model.attention
    if asked != "auto":
        return asked
    if beyond := ground.facts.beyond_sdpa:
        return ground.decide("model.attention", "eager", f"this model {beyond}, which sdpa cannot")
    because = "it comes with torch and takes the flash kernel where it can"
    return ground.leave_open("model.attention", "sdpa", because)


def _chat_template(ground: Ground, data: DataPlan) -> str | None:
    asked = ground.recipe.model.chat_template
    if asked.endswith(".jinja"):
        return ground.absolute(asked)
    if asked != "auto":
        return asked
    if any(source.format not in PLAIN for source in data.train):
        because = f"the base's own ({ground.facts.chat_format or 'none'})"
        return ground.decide("model.chat_template", "tokenizer", because)
    talk = next((name for source in _sources(data) if (name := _talk(ground, source))), None)
    if talk:
        because = f"the base's own: prompts and completions of {talk} are lists of turns"
        return ground.decide("model.chat_template", "tokenizer", because)
    return ground.decide("model.chat_template", None, "the data holds no conversations to render")


def _sources(data: DataPlan) -> tuple[SourcePlan, ...]:
    return (*data.train, *(data.validation if is_sources(data.validation) else ()))


def _talk(ground: Ground, source: SourcePlan) -> str | None:
    """The file in which prompts and completions are lists of turns, which need a template as conversations do."""
    if not source.local or source.format != "prompt_completion":
        return None
    files = expand(source.path, ground.folder)
    return next((file.name for file, row in first_rows(files, source.fields) if row.turns), None)
