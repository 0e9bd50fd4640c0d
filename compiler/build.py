"""The pipeline: the only place that knows the order in which a recipe becomes an artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from backends import TARGETS, load
from compiler.check import Checked, check
from compiler.hardware import find_gpu
from compiler.locate import locate
from compiler.memory import weigh
from compiler.memory.verdict import misfit
from compiler.models import ModelNotFound, find_model
from compiler.overrides import override
from compiler.resolve import Draft, resolve
from compiler.resolve.ground import Ground
from compiler.rules import Context, run_rules
from compiler.solve import careful, solve
from compiler.solve.space import AXES, KERNELS, LOSS, with_setting
from compiler.source import Source, parse
from schemas.artifact import Artifact, Launcher, Target
from schemas.diagnostic import Diagnostic, Finding
from schemas.facts import Gpu, ModelFacts
from schemas.footprint import Footprint, Stack
from schemas.hosted import HostedPlan, Provider
from schemas.method import HostedMethod
from schemas.plan import Plan
from schemas.recipe import Recipe

if TYPE_CHECKING:  # read only where another version is asked for
    from backends.release import Release


class Options(Struct, frozen=True):
    """What the command line adds to a recipe. Without a target nothing is refused, and the native stack is weighed.

    `version`: of the target's tool, where it is another one than the tested. `provider`: is asked for in the place of a
    target. `online`: whether the hub may be asked for a base that is nowhere else; None: as the environment says.
    `known`: facts of the base, where they were found already, for who compiles many recipes of one base. `launcher`:
    who starts the artifact on other machines. `exact`: whether the plan is to be traced, which not all values can be.
    """

    target: Target | None = None
    version: str | None = None
    provider: Provider | None = None
    gpu: str | None = None
    sets: tuple[str, ...] = ()
    allow_lossy: bool = False
    drop_raw: bool = False
    ignore_memory: bool = False
    stack: Stack | None = None
    emit: bool = False
    online: bool | None = None
    known: ModelFacts | None = None
    launcher: Launcher | None = None
    exact: bool = False


class Steps(Struct, frozen=True):
    """The steps whose answers a sweep shares between its points (compiler/sweep/sharing.py)."""

    find_model: Callable[..., ModelFacts | ModelNotFound] = find_model
    solve: Callable[..., Plan] = solve
    weigh: Callable[..., Footprint] = weigh


STEPS: Final = Steps()

UNTRACED: Final[Mapping[str, tuple[tuple[str, object], ...]]] = {
    "native": ((KERNELS, "liger"),),
    "axolotl": ((KERNELS, "liger"), (LOSS, "chunked")),
}
"""What the compiler does not choose where its plan is to be traced (compiler/trace/untraceable.py); of other stacks as
of the native one."""


class Compiled(Struct, frozen=True):
    """How far a recipe came. `missing`: a model was not found, so that little else could be said.

    `misfit`: the memory verdict as a finding, where it is does_not_fit or tight: for reports that show findings alone.
    It is none of `diagnostics`, as a recipe that does not fit is valid. `hosted`: in the place of a plan, of a
    recipe for a model that only its provider trains.
    """

    file: str
    recipe: Recipe | None
    plan: Plan | None
    footprint: Footprint | None
    artifact: Artifact | None
    diagnostics: tuple[Diagnostic, ...]
    missing: bool = False
    misfit: Diagnostic | None = None
    hosted: HostedPlan | None = None

    @property
    def valid(self) -> bool:
        """Whether no finding is an error."""
        return all(item.level != "error" for item in self.diagnostics)


def compile_recipe(file: str, text: str, folder: Path, options: Options) -> Compiled:
    """Take a recipe as far as it goes, and say everything that is wrong with it."""
    return compile_source(override(parse(text, file), all_sets(options)), folder, options)


def compile_source(source: Source, folder: Path, options: Options, steps: Steps = STEPS) -> Compiled:
    """The same from where the text is read and changed by the options."""
    checked, file = check(source), source.file
    if checked.recipe is None:
        return Compiled(file, None, None, None, None, _placed(source, checked.findings))
    if options.provider or isinstance(checked.recipe.method, HostedMethod):
        from compiler.hosted.build import compile_hosted

        return compile_hosted(source, checked, checked.recipe, folder, options)
    named = checked.recipe.model
    facts = options.known or steps.find_model(named.base, folder, revision=named.revision, online=options.online)
    found = find_gpu(checked.recipe.hardware.gpu) if checked.recipe.hardware.gpu else None
    gpu = found if isinstance(found, Gpu) else None
    known = facts if isinstance(facts, ModelFacts) else None
    context = Context(checked.recipe, checked.written, known, gpu, folder, checked.broken)
    findings = [*checked.findings, *_untouched(run_rules(context), checked)]
    if isinstance(facts, ModelNotFound):
        findings += _untouched([_not_found(facts)], checked)
        return Compiled(file, checked.recipe, None, None, None, _placed(source, findings), missing=True)
    ground = Ground(checked.recipe, facts, gpu, folder, _target(options))
    return _compile_known(source, checked, ground, findings, options, steps=steps)


def _compile_known(
    source: Source, checked: Checked, ground: Ground, findings: list[Finding], options: Options, *, steps: Steps
) -> Compiled:
    draft = resolve(ground)
    wrong = _errors((*source.diagnostics, *findings))
    stack = options.stack or ground.target
    plan = careful(draft.plan, draft.open) if wrong else _solved(draft, stack, options, steps)
    lost = tuple(item for item in _lost(plan, checked, options) if item.path not in wrong)
    asked = tuple(item for item in _for_launcher(plan, checked, options) if item.path not in wrong)
    findings += (*lost, *asked)
    clean = not wrong and not _errors((*lost, *asked))
    footprint = steps.weigh(plan, stack) if clean else None
    artifact = _emit(plan, footprint, lost, options, checked.recipe) if footprint and checked.recipe else None
    found = footprint and misfit(footprint, plan)
    about = locate(found, source) if found else None
    return Compiled(source.file, checked.recipe, plan, footprint, artifact, _placed(source, findings), misfit=about)


def _solved(draft: Draft, stack: Stack, options: Options, steps: Steps) -> Plan:
    return steps.solve(draft.plan, draft.open, options.target or _behind(stack), stack, _barred(draft, stack, options))


def _barred(draft: Draft, stack: Stack, options: Options) -> frozenset[tuple[str, object]]:
    """Values that the version of the target that is asked for refuses, or that have no trace where one is asked for."""
    untraced = UNTRACED.get(stack, UNTRACED["native"]) if options.exact else ()
    release = _release(options)
    if not release or not options.target:
        return frozenset(untraced)
    said, plan = load(options.target).said, draft.plan
    tried = ((path, value) for path, values in AXES.items() if path in draft.open for value in values)
    changed = ((item, said(with_setting(plan, (item,)), release).findings) for item in tried)
    refused = (item for item, found in changed if any(one.path == item[0] and one.level == "error" for one in found))
    return frozenset((*refused, *untraced))


def _behind(stack: Stack) -> Target | None:
    """The target whose training code this is; None for a plain loop."""
    return next((name for name in TARGETS if name == stack), None)


def _emit(
    plan: Plan, footprint: Footprint, lost: tuple[Finding, ...], options: Options, recipe: Recipe
) -> Artifact | None:
    """The artifact, where one is asked for and the plan fits."""
    blocked = footprint.verdict == "does_not_fit" and not options.ignore_memory
    if not options.emit or not options.target or blocked:
        return None
    if options.target == "native":  # whose script says it when memory runs out
        from compiler.memory.fixes.relief import relieved

        footprint = relieved(footprint, plan)
    backend, release = load(options.target), _release(options)
    if options.launcher:
        from compiler.launching import launched

        return launched(
            options.launcher, plan, footprint, recipe, lambda there: backend.emit(there, footprint, lost, release)
        )
    return backend.emit(plan, footprint, lost, release)


def _lost(plan: Plan, checked: Checked, options: Options) -> tuple[Finding, ...]:
    """What the target cannot say, and raw keys that no target may be given."""
    asked, found = _release(options), list[Finding]()
    if plan.targets.axolotl or plan.targets.llamafactory:
        from compiler.raw_keys import wrong_raw_keys

        found += wrong_raw_keys(plan, asked)
    if options.target:
        from compiler.refusals import refusals

        lossy, drop = options.allow_lossy, options.drop_raw
        found += refusals(plan, options.target, asked, checked.written, allow_lossy=lossy, drop_raw=drop)
    return tuple(_untouched(found, checked))


def _for_launcher(plan: Plan, checked: Checked, options: Options) -> Iterator[Finding]:
    """What does not go together with who starts it. Nothing of the recipe is lost by it."""
    if options.launcher and checked.recipe:
        from compiler.launching import findings

        yield from _untouched(findings(options.launcher, plan, checked.recipe), checked)


def _release(options: Options) -> Release | None:
    if not options.target or not options.version:
        return None
    from backends.release import release

    return release(options.target, options.version)


def _target(options: Options) -> Target:
    return options.target or "native"


def all_sets(options: Options) -> tuple[str, ...]:
    """`--gpu` is an override like others; a memory size that was stated for another card goes with it."""
    return (*options.sets, f"hardware.gpu={options.gpu}", "~hardware.memory") if options.gpu else options.sets


def _not_found(missing: ModelNotFound) -> Finding:
    tried = "; ".join(missing.tried)
    hint = _at_a_provider(missing.base) or (f'did you mean "{missing.suggestion}"?' if missing.suggestion else None)
    return Finding("FTC011", "model.base", f'base model "{missing.base}" was not found. Tried: {tried}', hint)


def _at_a_provider(base: str) -> str | None:
    """What to write for a base that is none to download, as only its provider trains it."""
    from compiler.hosted.catalog import look_up

    found = look_up(base)
    return (
        found
        and f"{found.about.title} is trained by its provider: `method: {{kind: hosted}}`, --target {found.provider}"
    )


def _errors(items: Iterable[Finding | Diagnostic]) -> frozenset[str]:
    """Paths of errors. What a target cannot say of a leaf is no news where the leaf is wrong anyway."""
    return frozenset(item.path for item in items if item.level == "error")


def _untouched(findings: Iterable[Finding], checked: Checked) -> list[Finding]:
    """Findings about leaves that were read as written: what a broken leaf's default leads to is not the user's."""
    return [item for item in findings if not checked.touches(item.path)]


def _placed(source: Source, findings: Iterable[Finding]) -> tuple[Diagnostic, ...]:
    placed = [*source.diagnostics, *(locate(item, source) for item in findings)]
    return tuple(sorted(placed, key=lambda item: (item.file, item.span.line, item.span.column, item.code)))
