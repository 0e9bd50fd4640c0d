# pyright: basic
"""The same rows and adapters in Unsloth, as the Unsloth artifact trains them: `speed.py` is the other side.

    python bench/gpu/unsloth_speed.py RUNS NAME OUT.jsonl ROWS:CHECKPOINTING ...    (`full:none`, `chat:unsloth`)

In an environment of its own, with a GPU. The base is made of random weights in memory (/dev/shm) first.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
import unsloth  # noqa: F401 - it changes the libraries after it

from unsloth import FastLanguageModel  # isort: skip
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

sys.path.insert(0, str(Path(__file__).resolve().parent))
from steps import ROWS, TIMED, WARM, Clock, documents, said

BASE = Path("/dev/shm/base")  # noqa: S108 - a disk would take longer


def make_base(config: Path) -> None:
    """Random weights, and a tokenizer of a few words."""
    settings = AutoConfig.from_pretrained(config)
    set_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(settings, dtype=torch.bfloat16)
    model.save_pretrained(BASE)
    del model
    torch.cuda.empty_cache()
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    inner = Tokenizer(WordLevel(words, "<unk>"))
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), words, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    tokenizer.save_pretrained(BASE)


def run(plan: dict[str, Any], rows: str, checkpointing: str) -> dict[str, Any]:
    longest, method, training = plan["data"]["max_length"], plan["method"], plan["training"]
    again: Any = {"none": False, "unsloth": "unsloth"}[checkpointing]
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(BASE),
        load_in_4bit=False,
        load_in_16bit=True,
        use_exact_model_name=True,
        max_seq_length=longest,
        dtype=torch.bfloat16,
        use_gradient_checkpointing=again,
        random_state=0,
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=method["rank"],
        lora_alpha=method["alpha"],
        lora_dropout=0.0,
        target_modules=method["target_modules"],
        bias="none",
        use_gradient_checkpointing=again,
        random_state=0,
    )
    steps, lengths = WARM + TIMED, documents(rows, longest)
    ids = [torch.randint(4, model.config.vocab_size, (length,)).tolist() for _ in range(steps) for length in lengths]
    clock = Clock()
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": ids, "assistant_masks": [[1] * len(each) for each in ids]}),
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(),
            max_length=longest,
            max_steps=steps,
            per_device_train_batch_size=training["micro_batch_size"],
            gradient_accumulation_steps=ROWS // training["micro_batch_size"],
            packing=True,
            train_sampling_strategy="sequential",
            optim="adamw_torch_fused",
            learning_rate=training["learning_rate"],
            max_grad_norm=1.0,
            bf16=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.add_callback(clock)
    trainer.train()
    return said(plan, lengths, clock)


def main() -> None:
    runs, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    plan = json.loads((runs / "speed" / f"{name}.json").read_text("utf-8"))
    begun = time.perf_counter()
    make_base(runs / "models" / plan["model"]["base"])
    print(f"base {time.perf_counter() - begun:.0f} s", flush=True)
    for word in sys.argv[4:]:
        rows, checkpointing = word.split(":")
        found = run(plan, rows, checkpointing)
        line = {"kind": "speed", "case": name, "step": f"unsloth, checkpointing {checkpointing}", "rows": rows, **found}
        print(json.dumps(line), flush=True)
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
