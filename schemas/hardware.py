"""The recipe's `hardware` section: what it runs on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section, Text, about

Strategy = Literal["single", "ddp", "fsdp", "zero2", "zero3"]
Offload = Literal["none", "optimizer", "all"]
SizeText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?)?B$")]
Size = SizeText | Positive


class Hardware(Section):
    gpu: Text | None = Field(
        default=None,
        description="The card, by its name in the catalog, or cpu.",
        examples=["a100-40gb", "rtx-4090", "cpu"],
        json_schema_extra=about(
            "Name it, and ftc says whether the run fits; `ftc gpus` lists the names.",
            values={"null": "Not said: memory is not judged, and `ftc run` looks at the card it finds."},
            catalog="gpus",
        ),
    )
    count: Positive = Field(
        default=1,
        description="GPUs on a machine.",
        examples=[1, 8],
        json_schema_extra=about("global_batch_size must be a multiple of all devices.", unit="GPUs"),
    )
    memory: Size | None = Field(
        default=None,
        description="Usable memory of one GPU, where it is not the catalog's.",
        examples=["22GiB", "24GB"],
        json_schema_extra=about(
            "For a card that others use too, a slice of one, or one that the catalog does not have.",
            unit="bytes; as text with GiB, GB, MiB and so on",
            values={"null": "The catalog's."},
        ),
    )
    nodes: Positive = Field(
        default=1,
        description="Machines, each with as many GPUs.",
        examples=[1, 2],
        json_schema_extra=about("One, unless a model or a deadline needs more than its cards.", unit="machines"),
    )
    strategy: Auto | Strategy = Field(
        default="auto",
        description="How work is spread over GPUs.",
        examples=["auto"],
        json_schema_extra=about(
            "Leave it to auto: it shards only where a whole copy does not fit a card.",
            values={
                "auto": "single on one device; else ddp where each card can hold everything, else fsdp.",
                "single": "One device.",
                "ddp": "A whole copy on each card, rows shared out: the fastest where it fits.",
                "fsdp": "Weights, gradients and states in shards over the cards.",
                "zero2": "DeepSpeed: gradients and states in shards, weights whole.",
                "zero3": "DeepSpeed: weights too in shards; not with qlora or qdora.",
            },
        ),
    )
    offload: Offload = Field(
        default="none",
        description="fsdp, zero2, zero3: what is kept in main memory.",
        examples=["none"],
        json_schema_extra=about(
            "A last resort: each step waits for the bus.",
            values={
                "none": "Everything stays on the cards.",
                "optimizer": "The optimizer's state.",
                "all": "The optimizer's state and the weights.",
            },
        ),
    )
    reserve: Auto | SizeText | Annotated[int, Field(ge=0)] = Field(
        default="auto",
        description="Memory left free for others.",
        examples=["1GiB"],
        json_schema_extra=about(
            "A gibibyte or two where the card also draws a desktop.",
            unit="bytes; as text with GiB, GB, MiB and so on",
            values={"auto": "Nothing is left free."},
        ),
    )
