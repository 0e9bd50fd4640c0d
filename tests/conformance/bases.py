"""Small models with random weights: the base of the generated recipes, and stand-ins for the hub's models.

What a trainer is built from is all there: layers, tokenizer, special tokens, chat template. Only the sizes are small.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from samples import KINDS, ROWS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM

TEMPLATES: Final = Path(__file__).resolve().parents[2] / "schemas" / "catalog" / "chat_templates"
BOATS: Final = """\
{{- bos_token }}{%- for message in messages %}
{{- '~' + message['role'] + '~\\n' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}{{- message['content'] + eos_token }}{%- endgeneration %}
{%- else %}{{- message['content'] }}{%- endif %}
{%- endfor %}{%- if add_generation_prompt %}{{- '~assistant~\\n' }}{%- endif %}
"""
"""A chat template that no tool knows, for recipes that name a file."""

SMALL: Final[dict[str, Any]] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "initializer_range": 0.02,
}
# Families whose templates need tokens of their own: begin, end, padding, and what marks turns.
LLAMA3: Final = (
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|python_tag|>",
)
CHATML: Final = ("<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|im_start|>")
FAMILIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "llama": ("llama3", LLAMA3),
    "qwen2": ("chatml", CHATML),
    "qwen3": ("chatml", CHATML),
    "mistral": ("mistral", ("<s>", "</s>", "<unk>", "[INST]", "[/INST]")),
    "gemma2": ("gemma", ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>")),
    "phi3": ("phi3", ("<s>", "<|endoftext|>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")),
}
"""Model type → the chat template that stands for its own, and its special tokens."""

DTYPES: Final = ("bfloat16", "float16", "float32")


def write_bases(folder: Path) -> None:
    """The generated recipes' base in each type, another whose tokenizer has ChatML's tokens, and a template file."""
    for dtype in DTYPES:
        write_base(folder / dtype, "llama", dtype)
        write_base(folder / f"chatml-{dtype}", "llama", dtype, speaks="qwen2")
    (folder / "boats.jinja").write_text(BOATS, encoding="utf-8")


def write_base(folder: Path, family: str, dtype: str, *, tied: bool = False, speaks: str | None = None) -> Path:
    """A model of this family, its tokenizer and template; as it is where it is there already.

    `speaks`: the family whose template and tokens it has, where it is another one.
    """
    if not (folder / "model.safetensors").is_file():
        template, special = FAMILIES[speaks or family]
        tokenizer = _tokenizer(special)
        torch.manual_seed(0)
        # Room for tokens that a tool adds by itself, and for the new ones of a recipe none.
        config = AutoConfig.for_model(
            family,
            **SMALL,
            tie_word_embeddings=tied,
            vocab_size=tokenizer.get_vocab_size(),
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
        )
        model = AutoModelForCausalLM.from_config(config)
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        _write_tokenizer(folder, tokenizer, special, template)
    return folder


def _tokenizer(special: Iterable[str]) -> Tokenizer:
    """Byte-level BPE that knows the words of the sample rows."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    names = list(special)
    texts = [json.dumps(make(number)) for make in KINDS.values() for number in range(1, ROWS + 1)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(texts, trainer)
    begin = names[0]
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B:1", special_tokens=[(begin, made.token_to_id(begin))]
    )
    return made


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, special: tuple[str, ...], template: str) -> None:
    """In files that every version of transformers reads."""
    tokenizer.save(str(folder / "tokenizer.json"))
    begin, end, padding, *_ = special
    said = {
        "bos_token": begin,
        "eos_token": end,
        "pad_token": padding,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 4096,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
    (folder / "chat_template.jinja").write_text((TEMPLATES / f"{template}.jinja").read_text("utf-8"), encoding="utf-8")
