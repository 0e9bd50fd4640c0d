"""The section that all others are made of, and the value types that several share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

Auto = Literal["auto"]
Dtype = Literal["bfloat16", "float16", "float32"]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Text, ...], Field(strict=False)]


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values are not converted, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False)


def about(
    advice: str, unit: str | None = None, values: Mapping[str, str] | None = None, catalog: str | None = None
) -> JsonDict:
    """What is said of a leaf beside its description, for `Field(json_schema_extra=...)`; read by `schemas.leaves`.

    `advice`: one line on how to choose. `unit`: of a number. `values`: what each word does, `auto` too; for a leaf that
    takes any text they are suggestions. `catalog`: the one whose names are suggested.
    """
    return {"advice": advice, "unit": unit, "values": {**(values or {})}, "catalog": catalog}
