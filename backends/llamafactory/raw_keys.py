"""LLaMA-Factory's keys as raw keys meet them: which leaf says the same, which are refused, which change no memory."""

from __future__ import annotations

from typing import Final

from backends.llamafactory.table import TABLE
from backends.raw_keys import PLACES, RUNS_CODE, UPLOADS, RawKeys, owners

_WRITTEN: Final = {
    "fp16": "model.dtype",
    "tf32": "model.dtype",
    "quantization_method": "method.quantization",
    "do_train": "training.objective",
    "pref_ftx": "training.preference.loss",
    "pref_loss": "training.preference.loss",
    "use_dora": "method.kind",
    "pissa_iter": "method.init",
    "loraplus_lr_embedding": "method.lora_plus_ratio",
    "dataset_dir": "data.train",
    "dataset": "data.train",
    "mix_strategy": "data.train",
    "packing": "data.packing",
    "use_muon": "training.optimizer",
    "adam_beta2": "training.betas",
    "use_reentrant_gc": "training.gradient_checkpointing",
    "use_unsloth_gc": "training.gradient_checkpointing",
    "deepspeed": "hardware.strategy",
    "resume_from_checkpoint": "checkpoint.resume",
    "eval_strategy": "evaluation.every",
    "save_strategy": "checkpoint.every",
    "metric_for_best_model": "checkpoint.best",
    "greater_is_better": "checkpoint.best",
}
"""What ftc writes and the table does not name."""

FIXED: Final = {
    "average_tokens_across_devices": "the loss is the mean over the tokens of all cards",
    "dataloader_num_workers": "rows come in the same order in every target",
    "overwrite_cache": "rows are prepared anew, so that none of an older recipe are trained",
    "push_to_hub": "results stay in the output folder",
    "plot_loss": "ftc leaves pictures to the trackers of logging.to",
}

_ALIKE: Final = {
    "gradient_checkpointing": "training.gradient_checkpointing",
    "gradient_checkpointing_kwargs": "training.gradient_checkpointing",
    "use_liger_kernel": "training.kernels",
    "warmup_ratio": "training.warmup",
    "val_size": "data.validation",
    "max_samples": "data.train",
    "interleave_probs": "data.train",
    "new_special_tokens_config": "model.tokens.add",
    "add_special_tokens": "model.tokens.add",
    "logging_strategy": "logging.every",
    "data_seed": "training.seed",
    "do_eval": "evaluation.every",
    "train_sampling_strategy": "data.shuffle",
    "group_by_length": "data.shuffle",
    "auto_find_batch_size": "training.micro_batch_size",
    "per_gpu_train_batch_size": "training.micro_batch_size",
    "per_gpu_eval_batch_size": "evaluation.batch_size",
    "adafactor": "training.optimizer",
    "fsdp": "hardware.strategy",
    "fsdp_config": "hardware.strategy",
    "fsdp_min_num_params": "hardware.strategy",
    "fsdp_transformer_layer_cls_to_wrap": "hardware.strategy",
    "use_cpu": "hardware.gpu",
    "no_cuda": "hardware.gpu",
    "use_mps_device": "hardware.gpu",
    "ray_num_workers": "hardware.count",
    "accelerator_config": "training.global_batch_size",
    "parallelism_config": "training.global_batch_size",
    "hyper_parallel_args": "training.global_batch_size",
}
"""Other names of what a leaf says: older ones, and keys that decide the same."""

REFUSED: Final = {
    "adapter_name_or_path": PLACES,
    "adapter_folder": PLACES,
    "create_new_adapter": PLACES,
    "cache_dir": PLACES,
    "tokenized_path": PLACES,
    "offload_folder": PLACES,
    "logging_dir": PLACES,
    "swanlab_logdir": PLACES,
    "profiler_output_dir": PLACES,
    "export_dir": PLACES,
    "ray_storage_path": PLACES,
    "ray_storage_filesystem": UPLOADS,
    "ray_run_name": "another launcher would start the run",
    "ray_init_kwargs": RUNS_CODE,
    "resources_per_worker": "another launcher would start the run",
    "trackio_space_id": UPLOADS,
    "trackio_bucket_id": UPLOADS,
    "trackio_static_space_id": UPLOADS,
}

HARMLESS: Final = frozenset(
    {
        "ddp_timeout",
        "disable_tqdm",
        "early_stopping_steps",
        "eval_delay",
        "log_level",
        "log_level_replica",
        "logging_first_step",
        "logging_nan_inf_filter",
        "preprocessing_batch_size",
        "preprocessing_num_workers",
        "print_param_status",
        "save_on_each_node",
        "swanlab_mode",
        "swanlab_project",
        "swanlab_run_name",
        "swanlab_workspace",
        "use_swanlab",
    }
)

OWNERS: Final = owners(TABLE, _WRITTEN)
"""Key → the leaf that it comes from: every key that ftc writes, but those that it sets by itself."""

RAW_KEYS: Final = RawKeys({**OWNERS, **_ALIKE}, FIXED, REFUSED, HARMLESS)
