"""Axolotl's keys as a reader of its configs meets them: older names, what has no effect on what is learnt, and what is
another kind of training."""

from __future__ import annotations

from typing import Final

from backends.axolotl.table import TABLE
from backends.backwards import backwards

BACK: Final = backwards(TABLE)
"""Key → leaf, of the keys that stand for one leaf alone."""

ALIASES: Final = {
    "model_revision": "revision_of_model",
    "noisy_embedding_alpha": "neftune_noise_alpha",
    "evaluation_strategy": "eval_strategy",
}
"""Older names that it still reads, or once read → today's."""

OLD_ATTENTION: Final[dict[str, str | None]] = {
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "flex_attention": "flex",
    "eager_attention": "eager",
    "xformers_attention": None,
    "sage_attention": None,
}

OLD_OPTIMIZERS: Final[dict[str, tuple[str, str | None]]] = {
    "adamw_torch": ("adamw", None),
    "adamw_hf": ("adamw", None),
    "adamw_bnb_8bit": ("adamw_8bit", None),
    "adamw_torch_8bit": ("adamw_8bit", "torchao's 8-bit state is read as bitsandbytes'"),
    "ao_adamw_8bit": ("adamw_8bit", "torchao's 8-bit state is read as bitsandbytes'"),
    "ao_adamw_4bit": ("adamw_4bit", None),
    "paged_adamw": ("paged_adamw", None),
    "lion": ("lion_8bit", "Lion's state is kept in 8 bit"),
    "lion_32bit": ("lion_8bit", "Lion's state is kept in 8 bit"),
}
"""Other names of an optimizer, and what is not quite the same."""

REINFORCED: Final = {
    "grpo": "reinforcement learning",
    "gdpo": "reinforcement learning",
    "ebft": "reinforcement learning",
    "simpo": "SimPO, which compares answers without a reference",
}

MULTIMODAL: Final = {
    "processor_type": "a processor for pictures or sound: ftc trains on text",
    "processor_config": "a processor for pictures or sound: ftc trains on text",
    "image_size": "pictures: ftc trains on text",
    "is_multimodal": "ftc trains on text",
    "num_labels": "a classifier is trained, and not a language model",
}

_NAMES: Final = "it names something for people or trackers"
_SPEED: Final = "it changes how fast rows are prepared or read"
_UPLOADS: Final = "ftc sends nothing away"
_FOLLOWS: Final = "it follows from the base"
_SAME: Final = "what is computed is the same"

IDLE: Final = {
    **dict.fromkeys(("wandb_entity", "wandb_watch", "wandb_run_id", "wandb_mode", "project_name"), _NAMES),
    **dict.fromkeys(("swanlab_project", "swanlab_experiment_name", "swanlab_description", "swanlab_mode"), _NAMES),
    **dict.fromkeys(("swanlab_workspace", "swanlab_log_completions", "swanlab_completion_log_interval"), _NAMES),
    **dict.fromkeys(("swanlab_completion_max_buffer", "swanlab_lark_webhook_url"), _NAMES),
    **dict.fromkeys(("hub_model_id", "hub_strategy", "push_dataset_to_hub", "wandb_log_model"), _UPLOADS),
    **dict.fromkeys(("hf_use_auth_token", "trackio_space_id", "swanlab_log_model"), _UPLOADS),
    **dict.fromkeys(("dataset_prepared_path", "dataset_processes", "dataset_num_proc"), _SPEED),
    **dict.fromkeys(("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor"), _SPEED),
    **dict.fromkeys(("dataset_keep_in_memory", "dataset_shard_num", "shuffle_before_merging_datasets"), _SPEED),
    **dict.fromkeys(("sample_packing_eff_est", "total_num_tokens", "sample_packing_group_size"), _SPEED),
    **dict.fromkeys(("sample_packing_bin_size", "sample_packing_seq_len_multiplier"), _SPEED),
    **dict.fromkeys(
        ("model_type", "type_of_model", "tokenizer_type", "tokenizer_use_fast", "tokenizer_legacy"), _FOLLOWS
    ),
    **dict.fromkeys(("base_model_config", "is_llama_derived_model", "is_falcon_derived_model"), _FOLLOWS),
    **dict.fromkeys(("is_mistral_derived_model", "base_model_ignore_patterns", "torch_dtype"), _FOLLOWS),
    **dict.fromkeys(("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel"), _SAME),
    **dict.fromkeys(("flash_attn_cross_entropy", "flash_attn_rms_norm", "flash_attn_fuse_mlp"), _SAME),
    **dict.fromkeys(("flash_attn_fuse_qkv", "flash_optimum", "flex_attn_compile_kwargs", "fused_attn_kernel"), _SAME),
    **dict.fromkeys(("use_kernels", "tiled_mlp", "tiled_mlp_num_shards", "torch_compile_mode"), _SAME),
    **dict.fromkeys(("torch_compile_backend", "lora_fan_in_fan_out", "low_cpu_mem_usage", "device_map"), _SAME),
    **dict.fromkeys(
        ("max_memory", "local_rank", "ddp_timeout", "ddp_find_unused_parameters", "ddp_bucket_cap_mb"), _SAME
    ),
    **dict.fromkeys(("experimental_skip_move_to_device", "save_safetensors", "strict", "debug", "ddp"), _SAME),
    **dict.fromkeys(("pad_to_sequence_len", "eval_sample_packing", "group_by_length", "eval_table_size"), _SAME),
    **dict.fromkeys(("eval_max_new_tokens", "eval_causal_lm_metrics", "do_causal_lm_eval", "save_first_step"), _SAME),
    **dict.fromkeys(("fsdp_final_state_dict_type", "gptq_groupsize", "gptq_model_v1", "gptq_disable_exllama"), _SAME),
    **dict.fromkeys(("loss_watchdog_threshold", "loss_watchdog_patience"), "it only ends runs that went wrong"),
    **dict.fromkeys(("use_otel_metrics", "otel_metrics_host", "otel_metrics_port", "use_comet", "comet_mode"), _NAMES),
    "resume_from_checkpoint": "a run goes on from its own folder",
}
"""Key → why leaving it out changes nothing that is learnt."""

WRITTEN: Final = (
    *((f"lora_{what}_kernel", False, "method.kind") for what in ("mlp", "qkv", "o", "embedding")),
    ("lora_fan_in_fan_out", False, "method.kind"),
    ("group_by_length", False, "data.train"),
    ("dataloader_num_workers", 0, "data.train"),
    ("model_type", "AutoModelForCausalLM", "model.base"),
    ("tokenizer_type", "AutoTokenizer", "model.base"),
    ("save_safetensors", True, "checkpoint.every"),
)
"""Key, value and leaf of what ftc writes by itself, or Axolotl does where nothing is written."""
