"""An artifact with what starts it on other machines (`ftc build --launcher`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from backends import load
from backends.alike import all_sources
from backends.emission import out_folder
from backends.launchers import load_launcher
from backends.launchers.base import Job, Starter
from backends.launchers.start import PREPARE, start_files
from compiler.launching.findings import wrong_for
from compiler.launching.moving import carried, otherwise, placed, rows, with_rows
from compiler.launching.needs import needs
from schemas.artifact import Artifact, Launcher
from schemas.diagnostic import Finding
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.launch import Needs
from schemas.plan import Plan
from schemas.recipe import Recipe

Emit = Callable[[Plan], Artifact]
"""A plan as the target writes it."""


def findings(name: Launcher, plan: Plan, recipe: Recipe) -> tuple[Finding, ...]:
    """What does not go together with it."""
    return tuple(wrong_for(load_launcher(name), plan, recipe))


def launched(name: Launcher, plan: Plan, footprint: Footprint, recipe: Recipe, emit: Emit) -> Artifact:
    """The target's artifact for those machines, and what starts it there."""
    starter, asked = load_launcher(name), needs(plan, footprint)
    there, artifact, copies = _at_their_place(starter, plan, recipe, emit)
    job = Job(
        plan=there,
        title=load(artifact.target).TITLE,
        needs=asked,
        steps=artifact.steps,
        prepares=any(PREPARE in step.words for step in artifact.steps),
        out=_out(artifact, there),
        local=() if starter.STORE else _read_here(there, artifact),
    )
    started = {**start_files(job), **starter.files(job)}
    readme = _readme(starter, job, started) + artifact.files["README.md"].replace("# ", "## ", 1)
    return replace(
        artifact,
        body=starter.BODY,
        command=starter.COMMAND,
        files={**artifact.files, **started, "README.md": readme},
        launcher=name,
        moved=otherwise(plan, there),
        copies=copies,
    )


def _at_their_place(starter: Starter, plan: Plan, recipe: Recipe, emit: Emit) -> tuple[Plan, Artifact, dict[str, str]]:
    """The plan as those machines see it, what the target makes of it, and the files that go along."""
    if starter.STORE is None:
        return plan, emit(plan), {}
    # A folder that is written out is the storage's own; one beside the recipe is of this machine.
    written = PurePosixPath(recipe.output.dir)
    there = placed(plan, str(written) if written.is_absolute() else starter.STORE)
    copies = {name: str(path) for name, path in carried(plan)}
    artifact = emit(there)
    if artifact.preparation is not None:  # which ftc writes into the artifact, out of the rows where they lie
        return there, artifact, copies
    there = with_rows(there)
    return there, emit(there), {**copies, **{name: str(path) for name, path in rows(plan)}}


def _out(artifact: Artifact, plan: Plan) -> str:
    return plan.output.dir if artifact.target == "native" else out_folder(artifact.target, plan, artifact.version)


def _read_here(plan: Plan, artifact: Artifact) -> tuple[str, ...]:
    """Folders and files of this machine that the run reads where they lie. Of a pattern each machine sees what there
    is."""
    named = [path for path in (plan.model.base, plan.model.tokenizer) if path and Path(path).is_absolute()]
    if artifact.preparation is None:
        named += [source.path for _, source in all_sources(plan) if source.local and Path(source.path).is_file()]
    return tuple(dict.fromkeys(named))


def _readme(starter: Starter, job: Job, started: dict[str, str]) -> str:
    """What stands before the README of the artifact itself."""
    several = f"{job.needs.nodes} machines, each with " if job.needs.nodes > 1 else ""
    asked = job.needs
    saved = (
        "Told to stop, it saves the step that it is at."
        if not job.steps
        else f"{job.title} does not save when it is told to stop: what was learned since its newest checkpoint is lost."
    )
    return (
        f"# {job.name}, by {starter.TITLE}\n\n"
        f"Written by ftc for {several}{asked.count} x {asked.gpu.title}. In this folder:\n\n"
        f"```\n{' '.join(starter.COMMAND)}\n```\n\n"
        f"The same command goes on from the newest checkpoint where a run was interrupted. {saved}\n"
        + "".join(f"\n{text}\n" for text in starter.words(job))
        + f"\n{_table(asked)}\n"
        + f"Files of this launcher: {', '.join(f'`{name}`' for name in sorted(started))}. The rest of this page is of "
        "the artifact itself, and its commands start it without the launcher.\n\n"
    )


def _table(asked: Needs) -> str:
    """What is asked for, and why."""
    lines = [
        ("GPUs", f"{asked.count} x {asked.gpu.title}", "the plan was weighed for it"),
        ("CPU cores", str(asked.cores), "four a card"),
        ("main memory", f"{asked.memory_gib} GiB", "the plan's, and a quarter more"),
        ("disk", f"{asked.disk_gib} GiB", "the sum of these, in tens"),
        *((f"· {part.what}", f"{part.size / GIB:.1f} GiB", part.because) for part in asked.disk),
    ]
    body = "".join(f"| {what} | {size} | {why} |\n" for what, size, why in lines)
    return f"| of each machine | | because |\n| --- | --- | --- |\n{body}"
