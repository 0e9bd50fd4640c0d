"""The section that all others are made of, and the value types that several share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

Auto = Literal["auto"]
Dtype = Literal["bfloat16", "float16", "float32"]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Text, ...], Field(strict=False)]

DTYPES: Final = {
    "auto": "bfloat16 where the GPU computes it, else float16; float32 on a cpu.",
    "bfloat16": "16 bit with the range of float32; for Ampere cards and newer.",
    "float16": "16 bit of a small range; for T4, V100 and other cards without bfloat16.",
    "float32": "Twice the memory; for a cpu, or to compare with.",
}
"""What each type of weights is good for."""


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values are not converted, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False)


def about(
    advice: str,
    unit: str | None = None,
    values: Mapping[str, str] | None = None,
    catalog: str | None = None,
    kinds: tuple[str, ...] = (),
) -> JsonDict:
    """What is said of a leaf beside its description, for `Field(json_schema_extra=...)`; read by `schemas.leaves`.

    `advice`: one line on how to choose. `unit`: of a number. `values`: what each word does, `auto`, `true` and `null`
    too; for a leaf that takes any text, further words are suggestions. `catalog`: the one whose names are suggested.
    `kinds`: the method kinds that have it, where its section is of more.
    """
    return {"advice": advice, "unit": unit, "values": {**(values or {})}, "catalog": catalog, "kinds": [*kinds]}
