"""What a run was measured to need: the content of `calibration.json`, which the native run writes. Sizes in bytes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.footprint import Stack

Size = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]
Kind = Literal["cuda", "cpu"]


class Reading(Struct, frozen=True):
    """Peaks of one phase. `allocated`: live tensors. `reserved`: what the caching allocator holds. `device`: what the
    driver counts for the process; of main memory, its resident set."""

    allocated: Size
    reserved: Size
    device: Size


class Readings(Struct, frozen=True):
    """`load`: up to the first step. `first_step`, `second_step`: forward and backward. `eval` is None where the plan
    does not evaluate."""

    load: Reading
    first_step: Reading
    second_step: Reading
    optimizer: Reading
    eval: Reading | None

    @property
    def present(self) -> tuple[Reading, ...]:
        """Those of phases that the run has."""
        always = (self.load, self.first_step, self.second_step, self.optimizer)
        return (*always, self.eval) if self.eval else always

    @property
    def allocated(self) -> int:
        """The most of all phases."""
        return max(item.allocated for item in self.present)

    @property
    def reserved(self) -> int:
        """The most of all phases; never less than is alive."""
        return max(self.allocated, *(item.reserved for item in self.present))

    @property
    def device(self) -> int:
        """The most of all phases; never less than is reserved."""
        return max(self.reserved, *(item.device for item in self.present))


class Measured(Struct, frozen=True):
    """Where it was measured. `total`: memory as the driver says it. `before`: what was in use before the run, None
    where nobody could tell. `how`: what the readings are, in words."""

    kind: Kind
    name: str
    total: Size
    before: Size | None
    how: str


class Predicted(Struct, frozen=True):
    """The footprint that the artifact was built with."""

    stack: Stack
    allocated: Positive
    reserved: Positive
    device: Positive


class Calibration(Struct, frozen=True):
    """Two steps of one plan at its largest shape. `plan`: a hash of `settings`, the sections of the plan that say what
    was measured. `date`: ISO 8601. `versions`: package → version."""

    format_version: Literal[1]
    date: str
    plan: str
    stack: Stack
    settings: dict[str, dict[str, object]]
    random_weights: bool
    versions: dict[str, str]
    device: Measured
    predicted: Predicted
    phases: Readings
