"""Beginnings that editors offer, by the section in whose list they stand: each one key of it, with places to fill in.

`${1:16}` is a place that the editor goes to, with what stands there at first. Without the places each is valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

Tree = dict[str, object]


class Snippet(Struct, frozen=True):
    """`kinds`: the method kinds beside whose leaves it stands; empty: everywhere in its section."""

    label: str
    description: str
    body: Tree
    kinds: tuple[str, ...] = ()


_FILE: Final[Tree] = {"path": "${1:data/train.jsonl}"}
_LORA: Final[Tree] = {"rank": "${1:16}"}

_METHODS: Final = (
    Snippet("method: qlora", "Adapters on a base kept in 4 bit: the least memory.", {"kind": "qlora", **_LORA}),
    Snippet("method: lora", "Adapters on a 16-bit base.", {"kind": "lora", **_LORA}),
    Snippet("method: dora", "LoRA with lengths learnt apart.", {"kind": "dora", **_LORA}),
    Snippet("method: qdora", "DoRA on a base kept in 4 bit.", {"kind": "qdora", **_LORA}),
    Snippet("method: full", "Every weight is trained: the most memory.", {"kind": "full"}),
    Snippet("method: ia3", "Vectors that scale keys, values and the mlp.", {"kind": "ia3"}),
    Snippet(
        "method: prefix_tuning",
        "Trained keys and values before each row.",
        {"kind": "prefix_tuning", "virtual_tokens": "${1:20}"},
    ),
    Snippet(
        "method: prompt_tuning",
        "Trained embeddings before each row.",
        {"kind": "prompt_tuning", "virtual_tokens": "${1:20}"},
    ),
    Snippet(
        "method: p_tuning",
        "Trained embeddings, made by a network.",
        {"kind": "p_tuning", "virtual_tokens": "${1:20}"},
    ),
    Snippet("method: adapter", "Small layers between the base's.", {"kind": "adapter", "bottleneck": "${1:64}"}),
    Snippet("method: hosted", "What is trained, the model's provider decides.", {"kind": "hosted"}),
)

_RECIPE: Final = Snippet(
    "a whole recipe",
    "Adapters on a base kept in 4 bit, learnt from one file of conversations.",
    {
        "version": 1,
        "name": "${1:my-first-recipe}",
        "model": {"base": "${2:Qwen/Qwen2.5-7B-Instruct}"},
        "method": {"kind": "${3:qlora}", "rank": "${4:16}"},
        "data": {"train": {"path": "${5:data/train.jsonl}"}, "max_length": "${6:2048}"},
        "training": {"epochs": "${7:1}", "global_batch_size": "${8:16}"},
        "hardware": {"gpu": "${9:rtx-4090}"},
    },
)

SNIPPETS: Final[Mapping[str, tuple[Snippet, ...]]] = {
    "": (
        _RECIPE,
        Snippet("model: base", "The base model.", {"model": {"base": "${1:Qwen/Qwen2.5-7B-Instruct}"}}),
        *(Snippet(item.label, item.description, {"method": item.body}) for item in _METHODS),
        Snippet("data: a file", "Rows of one file.", {"data": {"train": _FILE}}),
        Snippet(
            "data: pairs of answers",
            "Rows with chosen and rejected, for dpo and orpo.",
            {"data": {"train": {"path": "${1:data/pairs.jsonl}", "format": "preference"}}},
        ),
        Snippet(
            "training: epochs, batch, rate",
            "The leaves that are changed most.",
            {"training": {"epochs": "${1:3}", "global_batch_size": "${2:16}", "learning_rate": "${3:2.0e-4}"}},
        ),
        Snippet(
            "training: dpo",
            "Of two answers the better one; needs rows of preferences.",
            {"training": {"objective": "dpo", "preference": {"beta": "${1:0.1}"}}},
        ),
        Snippet("evaluation: every", "Several times an epoch.", {"evaluation": {"every": "${1:0.25}"}}),
        Snippet(
            "checkpoint: the best",
            "End with the lowest validation loss.",
            {"checkpoint": {"every": "${1:epoch}", "keep": "${2:2}", "best": True}},
        ),
        Snippet("logging: a tracker", "tensorboard and others.", {"logging": {"to": ["${1:tensorboard}"]}}),
        Snippet("output: merged", "A whole model beside the adapter.", {"output": {"merge": True}}),
        Snippet("hardware: a card", "The GPU that it must fit.", {"hardware": {"gpu": "${1:rtx-4090}"}}),
        Snippet(
            "hardware: several cards",
            "GPUs of one machine.",
            {"hardware": {"gpu": "${1:a100-80gb}", "count": "${2:8}"}},
        ),
    ),
    "method": (
        Snippet(
            "quantization: 8 bits",
            "Closer to the base than 4 bits, for more memory.",
            {"quantization": {"bits": 8}},
            ("qlora", "qdora"),
        ),
    ),
    "data": (
        Snippet("train: a file", "Rows of one file; jsonl, json, csv, parquet or txt.", {"train": _FILE}),
        Snippet(
            "train: a hub dataset",
            "Its format must be said: it is not looked at without the network.",
            {"train": {"path": "${1:tatsu-lab/alpaca}", "format": "${2:alpaca}"}},
        ),
        Snippet(
            "train: several",
            "Sources mixed by weight.",
            {"train": [{"path": "${1:data/train.jsonl}"}, {"path": "${2:data/more.jsonl}", "weight": "${3:0.5}"}]},
        ),
        Snippet("validation: a file", "Rows of its own.", {"validation": {"path": "${1:data/validation.jsonl}"}}),
    ),
    "training": (Snippet("preference: beta", "For dpo, orpo and kto.", {"preference": {"beta": "${1:0.1}"}}),),
    "model": (Snippet("tokens: pad", "Another padding token.", {"tokens": {"pad": "${1:<|pad|>}"}}),),
}
"""Path of a section → what is offered among its keys."""
