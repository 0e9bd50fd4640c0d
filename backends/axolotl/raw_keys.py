"""Axolotl's keys as raw keys meet them: which leaf says the same, which are refused, which change no memory."""

from __future__ import annotations

from typing import Final

from backends.axolotl.table import TABLE
from backends.raw_keys import PLACES, RUNS_CODE, UPLOADS, RawKeys, owners

_WRITTEN: Final = {
    "fp16": "model.dtype",
    "tf32": "model.dtype",
    "load_in_8bit": "method.quantization.bits",
    "lora_target_parameters": "method.target_modules",
    "peft_use_dora": "method.kind",
    "loraplus_lr_embedding": "method.lora_plus_ratio",
    "chat_template_jinja": "model.chat_template",
    "eot_tokens": "model.chat_template",
    "val_set_size": "data.validation",
    "curriculum_sampling": "data.shuffle",
    "skip_prepare_dataset": "training.objective",
    "remove_unused_columns": "training.objective",
    "eval_sample_packing": "data.packing",
    "pad_to_sequence_len": "data.packing",
    "warmup_steps": "training.warmup",
    "adam_beta2": "training.betas",
    "gradient_checkpointing_kwargs": "training.gradient_checkpointing",
    "selective_checkpointing": "training.gradient_checkpointing",
    "activation_offloading": "training.gradient_checkpointing",
    "liger_rope": "training.kernels",
    "liger_rms_norm": "training.kernels",
    "liger_glu_activation": "training.kernels",
    "liger_fused_linear_cross_entropy": "training.kernels",
    "deepspeed": "hardware.strategy",
    "fsdp_version": "hardware.strategy",
    "eval_strategy": "evaluation.every",
    "save_strategy": "checkpoint.every",
    "output_dir": "output.dir",
    "resume_from_checkpoint": "checkpoint.resume",
    "use_wandb": "logging.to",
    "wandb_name": "name",
    "use_mlflow": "logging.to",
    "mlflow_experiment_name": "logging.project",
    "mlflow_run_name": "name",
    "use_trackio": "logging.to",
    "trackio_project_name": "logging.project",
    "trackio_run_name": "name",
    "trl": "training.preference.beta",
}
"""What ftc writes and the table does not name."""

FIXED: Final = {
    "lora_mlp_kernel": "the plain path is what is weighed and compared",
    "lora_qkv_kernel": "the plain path is what is weighed and compared",
    "lora_o_kernel": "the plain path is what is weighed and compared",
    "lora_embedding_kernel": "the plain path is what is weighed and compared",
    "group_by_length": "rows come in the order that data.shuffle says",
    "dataloader_num_workers": "rows come in the same order in every target",
}

_ALIKE: Final = {
    "base_model_config": "model.base",
    "model_revision": "model.revision",
    "bfloat16": "model.dtype",
    "float16": "model.dtype",
    "float32": "model.dtype",
    "eager_attention": "model.attention",
    "flash_attention": "model.attention",
    "flex_attention": "model.attention",
    "sage_attention": "model.attention",
    "sdp_attention": "model.attention",
    "xformers_attention": "model.attention",
    "default_system_message": "data.system",
    "gptq": "method.quantization",
    "model_quantization_config": "method.quantization",
    "model_quantization_config_kwargs": "method.quantization",
    "lora_target_linear": "method.target_modules",
    "noisy_embedding_alpha": "training.neftune_alpha",
    "pretraining_dataset": "data.train",
    "max_packed_sequence_len": "data.max_length",
    "shuffle_before_merging_datasets": "data.shuffle",
    "batch_size": "training.global_batch_size",
    "auto_find_batch_size": "training.micro_batch_size",
    "cosine_min_lr_ratio": "training.min_lr_ratio",
    "reward_model": "training.objective",
    "process_reward_model": "training.objective",
    "rl_beta": "training.preference.beta",
    "dpo_beta": "training.preference.beta",
    "orpo_alpha": "training.preference.beta",
    "liger_swiglu": "training.kernels",
    "evaluation_strategy": "evaluation.every",
    "evals_per_epoch": "evaluation.every",
    "saves_per_epoch": "checkpoint.every",
    "metric_for_best_model": "checkpoint.best",
    "greater_is_better": "checkpoint.best",
    "ddp": "hardware.strategy",
    "fsdp": "hardware.strategy",
    "fsdp_final_state_dict_type": "hardware.strategy",
    "ray_num_workers": "hardware.count",
    "world_size": "hardware.count",
    "context_parallel_size": "training.global_batch_size",
    "sequence_parallel_degree": "training.global_batch_size",
    "tensor_parallel_size": "training.global_batch_size",
    "expert_parallel_size": "training.global_batch_size",
    "dp_shard_size": "hardware.strategy",
    "dp_replicate_size": "hardware.strategy",
}
"""Other names of what a leaf says: older ones, and keys that decide the same."""

REFUSED: Final = {
    "overrides_of_model_kwargs": RUNS_CODE,
    "model_kwargs": RUNS_CODE,
    "trainer_cls": RUNS_CODE,
    "dataset_prepared_path": PLACES,
    "lora_model_dir": PLACES,
    "axolotl_config_path": PLACES,
    "torchdistx_path": RUNS_CODE,
    "use_ray": "another launcher would start the run",
    "ray_run_name": "another launcher would start the run",
    "resources_per_worker": "another launcher would start the run",
    "hf_use_auth_token": "the token is read from the environment",
    "hf_mlflow_log_artifacts": UPLOADS,
    "mlflow_tracking_uri": "set MLFLOW_TRACKING_URI in the environment: it may carry a password",
    "trackio_space_id": UPLOADS,
    "wandb_log_model": UPLOADS,
    "swanlab_log_model": UPLOADS,
    "gradio_share": UPLOADS,
}

PLUGINS: Final = {
    "axolotl.integrations.nemo_gym": RUNS_CODE,  # clones repositories and starts their servers, by default
    "axolotl.integrations.hatchery": UPLOADS,  # trains on somebody else's machines
}
"""Plugins of Axolotl's own that are refused like others."""

HARMLESS: Final = frozenset(
    {
        "comet_mode",
        "comet_online",
        "comet_project_name",
        "comet_workspace",
        "dataset_exact_deduplication",
        "dataset_num_proc",
        "dataset_processes",
        "ddp_timeout",
        "early_stopping_patience",
        "include_tkps",
        "loss_watchdog_patience",
        "loss_watchdog_threshold",
        "save_first_step",
        "strict",
        "tokenizer_save_jinja_files",
        "use_comet",
        "wandb_entity",
        "wandb_mode",
        "wandb_run_id",
    }
)

OWNERS: Final = owners(TABLE, _WRITTEN)
"""Key → the leaf that it comes from: every key that ftc writes, but those that it sets by itself."""

RAW_KEYS: Final = RawKeys({**OWNERS, **_ALIKE}, FIXED, REFUSED, HARMLESS, PLUGINS)
