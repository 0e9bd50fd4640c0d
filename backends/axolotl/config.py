"""The plan as Axolotl's YAML file, and what stands beside it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from backends.alike import Rows, column, own_template, rows
from backends.axolotl.table import CHAPTERS, TABLE, TRACKERS
from backends.base import apply
from backends.cadence import Cadence, cadence, evaluation, scheduler, warmup_steps
from backends.emission import Made, Step, Tool, artifact, config_text, out_folder
from schemas.artifact import Artifact
from schemas.diagnostic import Finding
from schemas.footprint import Footprint
from schemas.method_plan import LoraPlan
from schemas.plan import Plan, SourcePlan

TOOL: Final = Tool("axolotl", "Axolotl", "axolotl==0.19.0")
CONFIG: Final = "config.yaml"

LIGER: Final = "axolotl.integrations.liger.LigerPlugin"

ROLES: Final = {  # ShareGPT's words beside the usual ones
    "user": ["user", "human"],
    "assistant": ["assistant", "gpt", "chatgpt", "model", "function_call"],
    "system": ["system"],
    "tool": ["tool", "observation", "function_response"],
}


def keys(plan: Plan) -> dict[str, object]:
    """Everything that stands in `config.yaml`."""
    told = {**apply(TABLE, plan).keys, **_model(plan), **_method(plan), **_data(plan), **_training(plan), **_run(plan)}
    return {name: value for name, value in told.items() if value is not None}


def emit(plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...]) -> Artifact:
    """`config.yaml` and what stands beside it."""
    files = {CONFIG: config_text(TOOL, plan, CHAPTERS, keys(plan), lost)}
    made = Made(CONFIG, files, (_train(plan),), rows(plan).preparation, plan.logging.to, _remarks(plan))
    return artifact(TOOL, plan, made, footprint, lost)


def _remarks(plan: Plan) -> tuple[str, ...]:
    """What is too small for a finding. Steps are counted by Axolotl where the plan only has epochs."""
    if isinstance(warmup_steps(plan), int):
        return ()
    return ("Axolotl rounds a share of warm-up steps down, and makes one step two; the other targets round it up.",)


def _train(plan: Plan) -> Step:
    train = ("axolotl", "train", CONFIG)
    if plan.devices == 1:
        return Step(train)
    return Step((*train, "--launcher", "torchrun", "--", f"--nproc_per_node={plan.hardware.count}"))


def _model(plan: Plan) -> dict[str, object]:
    tokens = plan.model.tokens
    special = {"pad_token": tokens.pad, "eos_token": tokens.eos, "bos_token": tokens.bos}
    return {
        "bf16": plan.model.dtype == "bfloat16",
        "fp16": plan.model.dtype == "float16",
        "tf32": False,
        "special_tokens": {name: token for name, token in special.items() if token} or None,
    }


def _method(plan: Plan) -> dict[str, object]:
    method = plan.method
    if not isinstance(method, LoraPlan):
        return {"adapter": None}
    targets = method.target_modules
    return {
        "adapter": "qlora" if method.quantization and method.quantization.bits == 4 else "lora",
        "lora_target_modules": targets.removeprefix("re:") if isinstance(targets, str) else targets,
        "lora_modules_to_save": method.modules_to_save or None,
        "peft_use_dora": method.kind in ("dora", "qdora"),
        "peft_init_lora_weights": None if method.init == "default" else method.init,
        "loraplus_lr_embedding": 1e-6 if method.lora_plus_ratio else None,
        # Kernels of its own, switched on by itself where it can: what is weighed and compared is the plain path.
        "lora_mlp_kernel": False,
        "lora_qkv_kernel": False,
        "lora_o_kernel": False,
        "lora_embedding_kernel": False,
        **_quantization(method),
    }


def _quantization(method: LoraPlan) -> dict[str, object]:
    quantization = method.quantization
    bits = quantization.bits if quantization else None
    loading: dict[str, object] = {"load_in_4bit": bits == 4, "load_in_8bit": bits == 8}
    if quantization and bits == 4:
        loading["bnb_config_kwargs"] = {
            "bnb_4bit_quant_type": quantization.type,
            "bnb_4bit_use_double_quant": quantization.double_quant,
            "bnb_4bit_compute_dtype": quantization.compute_dtype,
        }
    return loading


def _data(plan: Plan) -> dict[str, object]:
    read, template, own = rows(plan), plan.model.chat_template, own_template(plan)
    return {
        "chat_template": "jinja" if own else "tokenizer_default" if template else None,
        # The text, not the path: the tool reads the path anew in places that do not know this folder.
        "chat_template_jinja": own.read_text(encoding="utf-8") if own and own.is_file() else None,
        **_datasets(plan, read),
        "val_set_size": 0.0,
        "train_on_inputs": plan.data.loss_on == "all",
        # Packed evaluation is refused where there are few rows, and the mean loss is the same.
        "eval_sample_packing": False,
        "pad_to_sequence_len": plan.data.packing,
        "group_by_length": False,
        "dataloader_num_workers": 0,
    }


def _datasets(plan: Plan, read: Rows) -> dict[str, object]:
    validation = [_dataset(source) for source in read.validation] if evaluation(plan).strategy != "no" else None
    return {"datasets": [_dataset(source) for source in read.train], "test_datasets": validation}


def _dataset(source: SourcePlan) -> dict[str, object]:
    sliced = f"[:{source.limit}]" if source.limit else ""
    return {**_place(source), "split": f"{source.split}{sliced}", **_shape(source)}


def _place(source: SourcePlan) -> dict[str, object]:
    if not source.local:
        named = {"name": source.subset, "revision": source.revision}
        return {"path": source.path, **{key: value for key, value in named.items() if value}}
    kind = _file_kind(source.path)
    if not any(mark in source.path for mark in "*?["):
        return {"path": source.path, "ds_type": kind}
    plain = [part for part in PurePath(source.path).parents if not any(mark in str(part) for mark in "*?[")]
    return {"path": str(plain[0]), "data_files": [source.path], "ds_type": kind}


def _file_kind(path: str) -> str:
    suffixes = [suffix for suffix in PurePath(path).suffixes if suffix not in (".gz", ".zst")]
    return {".csv": "csv", ".parquet": "parquet", ".txt": "text"}.get(suffixes[-1] if suffixes else "", "json")


def _shape(source: SourcePlan) -> dict[str, object]:
    fields = source.fields
    if source.format == "text":
        return {"type": "completion", "field": fields.text or "text"}
    if source.format == "prompt_completion":
        return {
            "type": {
                "field_instruction": fields.prompt or "prompt",
                "field_output": fields.completion or "completion",
                "format": "{instruction}",
                "no_input_format": "{instruction}",
            }
        }
    return _conversation(source)


def _conversation(source: SourcePlan) -> dict[str, object]:
    sharegpt, fields = source.format == "sharegpt", source.fields
    optional = {"field_tools": fields.tools, "field_thinking": fields.thinking, "roles": ROLES if sharegpt else None}
    return {
        "type": "chat_template",
        "field_messages": column(fields, "messages", "conversations" if sharegpt else "messages"),
        "message_property_mappings": {
            "role": column(fields, "role", "from" if sharegpt else "role"),
            "content": column(fields, "content", "value" if sharegpt else "content"),
        },
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
        **{key: value for key, value in optional.items() if value},
    }


def _training(plan: Plan) -> dict[str, object]:
    training = plan.training
    name, arguments = scheduler(plan)
    warmup = warmup_steps(plan)
    betas = training.betas or (None, None)
    liger = training.kernels == "liger" or None
    return {
        "gradient_accumulation_steps": plan.accumulation,
        "lr_scheduler": name,
        "lr_scheduler_kwargs": arguments,
        "warmup_steps": warmup if isinstance(warmup, int) else None,
        "warmup_ratio": None if isinstance(warmup, int) else warmup,
        "adam_beta1": betas[0],
        "adam_beta2": betas[1],
        **_checkpointing(plan),
        "plugins": [LIGER] if liger else None,
        "liger_rope": liger,
        "liger_rms_norm": liger,
        "liger_glu_activation": liger,
        "liger_fused_linear_cross_entropy": False if liger else None,
    }


def _checkpointing(plan: Plan) -> dict[str, object]:
    """8-bit layers keep their inputs by themselves while gradients are on, as in checkpointing's newer kind."""
    kind = plan.training.gradient_checkpointing
    reentrant = plan.quantization is not None and plan.quantization.bits == 8 and kind is True
    return {
        "gradient_checkpointing_kwargs": {"use_reentrant": reentrant} if kind else None,
        "selective_checkpointing": {"save": ["attention"]} if kind == "selective" else None,
        "activation_offloading": "hidden_states" if kind == "offload" else None,
    }


def _run(plan: Plan) -> dict[str, object]:
    seen, saved = evaluation(plan), cadence(plan.checkpoint.every, plan)
    resume = plan.checkpoint.resume
    return {
        "output_dir": out_folder("axolotl", plan),
        **_cadence("eval", seen),
        **_cadence("save", saved),
        "load_best_model_at_end": plan.checkpoint.best and seen.strategy != "no",
        "resume_from_checkpoint": None if resume in ("auto", "never") else resume,
        **_trackers(plan),
    }


def _cadence(what: str, when: Cadence) -> dict[str, object]:
    return {f"{what}_strategy": when.strategy, f"{what}_steps": when.steps}


def _trackers(plan: Plan) -> dict[str, object]:
    told: dict[str, object] = {"use_tensorboard": "tensorboard" in plan.logging.to}
    for tracker, project in TRACKERS.items():
        used = tracker in plan.logging.to
        name = f"{tracker}_run_name" if tracker != "wandb" else "wandb_name"
        told |= {
            f"use_{tracker}": used,
            project: plan.logging.project if used else None,
            name: plan.name if used else None,
        }
    return told
