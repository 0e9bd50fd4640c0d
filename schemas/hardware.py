"""The recipe's `hardware` section: what it runs on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section, Text

Strategy = Literal["single", "ddp", "fsdp", "zero2", "zero3"]
Offload = Literal["none", "optimizer", "all"]
SizeText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?)?B$")]
Size = SizeText | Positive


class Hardware(Section):
    gpu: Text | None = Field(
        default=None, description="A catalog name, cpu, or null: not said.", examples=["a100-40gb", "rtx-4090", "cpu"]
    )
    count: Positive = Field(default=1, description="GPUs on a node.", examples=[1, 8])
    memory: Size | None = Field(
        default=None, description="Usable memory of one GPU, where it is not the catalog's.", examples=["22GiB"]
    )
    nodes: Positive = Field(default=1, description="Machines.", examples=[1])
    strategy: Auto | Strategy = Field(default="auto", description="How work is spread over GPUs; auto: single, or ddp.")
    offload: Offload = Field(default="none", description="fsdp, zero2, zero3: what is kept in CPU memory.")
    reserve: Auto | SizeText | Annotated[int, Field(ge=0)] = Field(
        default="auto", description="Memory left free for others; auto: none.", examples=["1GiB"]
    )
