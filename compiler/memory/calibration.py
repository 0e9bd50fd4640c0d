"""A footprint by what was measured: the readings themselves for the same plan, a correction for another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import asdict, replace

from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.memory.measured_plan import SIZES, differences, unsaid
from compiler.memory.verdict import verdict
from schemas.calibration import Calibration
from schemas.footprint import Footprint, Parts, Phases
from schemas.plan import Plan

PLAUSIBLE: Final = 1.25
"""A correction by more, up or down, means that the formula leaves something out, which need not grow as it does."""
LONGER: Final = 0.02
"""How far a run of many steps may be from two of them, as a share of the card's reading. Assumed."""
VARIED: Final = 0.05
"""The same upwards where rows differ in length, which leaves holes in the allocator's blocks. Assumed."""
TENSORS: Final = ("weights", "adapters", "gradients", "optimizer", "activations", "logits", "workspace")
"""The parts that are live tensors."""
STACK: Final = ("torch", "transformers", "peft", "trl", "bitsandbytes")
"""Packages whose versions are said."""


def read_calibration(path: Path) -> Calibration:
    """The content of a `calibration.json`; `FtcError` (usage) where it is none."""
    hint = "ftc run RECIPE --measure writes one into the run's folder"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except OSError as error:
        raise FtcError(f"{path}: cannot be read: {error.strerror}", hint, USAGE) from error
    except msgspec.MsgspecError as error:
        raise FtcError(f"{path}: is no calibration: {error}", hint, USAGE) from error
    absent = unsaid(found)
    if absent:
        raise FtcError(f"{path}: is no calibration: its settings lack {', '.join(absent)}", hint, USAGE)
    return found


def calibrated(footprint: Footprint, plan: Plan, calibration: Calibration) -> Footprint:
    """The footprint by the readings of a calibration. `FtcError` (usage) where they say nothing about this plan."""
    _require_kin(footprint, plan, calibration)
    differ = differences(plan, calibration)
    return _corrected(footprint, calibration, differ) if differ else _read_off(footprint, plan, calibration)


def _require_kin(footprint: Footprint, plan: Plan, calibration: Calibration) -> None:
    """Refuse readings of another model, of other training code, or of another kind of memory."""
    model = calibration.settings.get("model", {})
    kind = "cpu" if plan.gpu is not None and plan.gpu.is_cpu else "cuda"
    if (model.get("base"), model.get("revision")) != (plan.model.base, plan.model.revision):
        what = f'of base model "{model.get("base")}" ({model.get("revision")}), and the recipe has "{plan.model.base}"'
        raise _foreign(f"{what} ({plan.model.revision})", "measure this recipe: ftc run RECIPE --measure")
    if calibration.stack != footprint.stack:
        what = f"of the stack {calibration.stack}, and {footprint.stack} is weighed"
        raise _foreign(what, f"leave out --calibration, or weigh with --stack {calibration.stack}")
    if calibration.device.kind != kind:
        if kind == "cuda":
            raise _foreign(
                "of main memory, and the recipe is not for a CPU", "weigh with --gpu cpu, or measure on the card"
            )
        raise _foreign(f"of a card ({calibration.device.name}), and the recipe is for a CPU", "weigh with --gpu")


def _foreign(what: str, hint: str) -> FtcError:
    return FtcError(f"the calibration is {what}", hint, USAGE)


def _read_off(footprint: Footprint, plan: Plan, calibration: Calibration) -> Footprint:
    """The readings. The allocator's unused blocks and the context are differences of two readings each."""
    found, ratio = calibration.phases, calibration.phases.allocated / footprint.allocated
    steps = abs(found.second_step.device - found.first_step.device)
    low = found.device - steps - int(found.device * LONGER)
    high = found.device + steps + int(found.device * (LONGER if plan.data.packing else VARIED))
    outside = found.device - found.reserved
    parts = replace(
        _scaled(footprint.parts, found.allocated), context=outside, fragmentation=found.reserved - found.allocated
    )
    phases = _phases(footprint.phases, calibration)
    return replace(
        footprint,
        verdict=verdict(footprint.capacity, found.allocated + outside, high),
        allocated=found.allocated,
        reserved=found.reserved,
        device=found.device,
        low=low,
        high=high,
        method="measured",
        confidence="high",
        phases=phases,
        parts=parts,
        by_phase=_by_phase(footprint, phases),
        because=(*_origin(calibration), *_why_so_wide(plan, steps), _about_parts(ratio)),
    )


def _corrected(footprint: Footprint, calibration: Calibration, differ: tuple[str, ...]) -> Footprint:
    """The formula's tensors times what it was wrong by in the measured run; its interval moves and widens with them."""
    ratio = calibration.phases.allocated / calibration.predicted.allocated
    allocated = round(footprint.allocated * ratio)
    moved = allocated - footprint.allocated
    device = footprint.device + moved
    wider = max(ratio, 1.0)
    high = device + int((footprint.high - footprint.device) * wider)
    sure = SIZES.issuperset(differ) and 1 / PLAUSIBLE <= ratio <= PLAUSIBLE
    phases = Phases(**{name: round(size * ratio) for name, size in asdict(footprint.phases).items()})
    return replace(
        footprint,
        verdict=verdict(footprint.capacity, allocated + footprint.parts.context, high),
        allocated=allocated,
        reserved=footprint.reserved + moved,
        device=device,
        low=max(device - int((footprint.device - footprint.low) * wider), 0),
        high=high,
        confidence="medium" if sure else "low",
        phases=phases,
        parts=_scaled(footprint.parts, allocated),
        by_phase=_by_phase(footprint, phases),
        because=(_about_correction(ratio, differ, sure=sure), *_origin(calibration), *footprint.because),
    )


# --- parts and phases


def _scaled(parts: Parts, total: int) -> Parts:
    """All tensors by one ratio, so that they sum to `total`."""
    before = sum(getattr(parts, name) for name in TENSORS)
    sizes: dict[str, int] = {}
    passed = placed = 0
    for name in TENSORS:
        passed += getattr(parts, name)
        sizes[name] = total * passed // before - placed
        placed += sizes[name]
    return replace(parts, **sizes)


def _phases(predicted: Phases, calibration: Calibration) -> Phases:
    """Live tensors of each phase as they were read. Nothing was merged."""
    found = calibration.phases
    return Phases(
        load=found.load.allocated,
        step=max(found.first_step.allocated, found.second_step.allocated),
        optimizer=found.optimizer.allocated,
        eval=found.eval.allocated if found.eval else 0,
        merge=predicted.merge,
    )


def _by_phase(footprint: Footprint, phases: Phases) -> dict[str, Parts]:
    sizes = asdict(phases)
    return {name: _scaled(parts, sizes[name]) for name, parts in footprint.by_phase.items() if sizes[name]}


# --- what is said


def _origin(calibration: Calibration) -> Iterator[str]:
    device, versions = calibration.device, calibration.versions
    packages = ", ".join(f"{name} {versions[name]}" for name in STACK if name in versions)
    weights = "random weights" if calibration.random_weights else "the base's weights"
    yield (
        f"measured on {device.name}, {calibration.date}, plan {calibration.plan[:8]}: two steps at the largest shape, "
        f"{weights} ({packages})"
    )
    yield device.how


def _why_so_wide(plan: Plan, steps: int) -> Iterator[str]:
    varied = "" if plan.data.packing else f", or {VARIED:.0%} more as rows differ in length"
    yield (
        f"interval: the two steps are {steps / (1 << 20):.0f} MiB apart, and a longer run is taken to be within "
        f"{LONGER:.0%}{varied}"
    )


def _about_parts(ratio: float) -> str:
    return (
        f"a reading has no parts: each part is the formula's, all times {ratio:.3f} (measured / predicted); "
        "context and fragmentation are differences of readings"
    )


def _about_correction(ratio: float, differ: tuple[str, ...], *, sure: bool) -> str:
    doubt = "" if sure else "; a rough correction, as the formula was far off or more than sizes differ"
    return (
        f"corrected: all live tensors times {ratio:.3f} (measured / predicted), as another plan was measured; "
        f"it differs in {', '.join(differ)}{doubt}"
    )
