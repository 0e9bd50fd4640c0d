"""Every recipe × every target equals a golden file, or a golden refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends import TARGETS
from compiler.build import Compiled, Options, compile_recipe
from schemas.artifact import Target

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("**/[!.]*.ftc.yaml"))
GOLDEN = Path(__file__).parent / "golden"
VERBATIM = {
    path.read_text().replace("from backends.native.", "from ")
    for path in (ROOT / "backends").rglob("*")
    if path.suffix in (".py", ".txt", ".css", ".jinja")
}
"""Files that artifacts hold as they stand in the package: the same for every recipe."""


def compiled(recipe: Path, target: Target) -> Compiled:
    return compile_recipe(recipe.name, recipe.read_text(), recipe.parent, Options(target=target, emit=True))


def rendering(result: Compiled) -> str:
    """What a user gets, as text: the files, or the refusal."""
    refusals = [f"{d.span.line}:{d.span.column} {d.code} {d.path}" for d in result.diagnostics if d.level == "error"]
    if refusals:
        return "".join(f"refused {line}\n" for line in refusals)
    if result.artifact is None:
        assert result.footprint is not None
        return f"exit 3 {result.footprint.verdict}\n"
    kept = {name: text for name, text in result.artifact.files.items() if text not in VERBATIM}
    body = "".join(f"=== {name}\n{text}" for name, text in sorted(kept.items()))
    made = result.artifact.preparation
    rows = f"=== rows {' '.join(made.files)} {made.validation}\n" if made else ""
    return (rows + body + f"=== {' '.join(result.artifact.command)}\n").replace(str(ROOT), "<root>")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name.removesuffix(".ftc.yaml"))
def test_golden(recipe: Path, target: Target, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / recipe.name.removesuffix(".ftc.yaml") / f"{target}.txt"
    found = rendering(compiled(recipe, target))
    if request.config.getoption("--write-golden"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found)
    assert found == file.read_text()


def test_no_golden_file_is_left_over() -> None:
    names = {recipe.name.removesuffix(".ftc.yaml") for recipe in RECIPES}
    assert {folder.name for folder in GOLDEN.iterdir()} == names


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("llama3.1-70b-qlora-a100-40gb", {"does_not_fit", "tight"}),
        ("llama3.1-70b-qlora-rtx4090", {"does_not_fit"}),
    ],
)
def test_seventy_billion_does_not_fit_a_small_card(name: str, verdicts: set[str]) -> None:
    """With adapters in 16 bit and inputs of layers in main memory it may fit 40 GB, just."""
    for target in TARGETS:
        result = compiled(ROOT / "recipes" / f"{name}.ftc.yaml", target)
        if result.valid:
            assert result.footprint is not None
            assert result.footprint.verdict in verdicts
            assert (result.artifact is None) == (result.footprint.verdict == "does_not_fit")


def test_an_open_strategy_is_none_that_the_target_refuses_beside_the_rest() -> None:
    """Axolotl takes no 8-bit optimizer with FSDP2, whose shards would fit better; whole copies are tight."""
    recipe = ROOT / "recipes" / "llama3.1-8b-full-8xa100.ftc.yaml"
    found = compiled(recipe, "axolotl")
    assert found.valid
    assert found.plan
    assert found.plan.hardware.strategy == "ddp"
