"""Sweeps: what `--matrix` is read as, what the points are called, and that what they share changes nothing."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import pytest
from calls import RECIPES, ftc, put, text_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from compiler.build import STEPS, Compiled, Options, Steps, compile_recipe
from compiler.overrides import read_value
from compiler.report.sweep_text import MOST
from compiler.source import parse
from compiler.sweep import sharing
from compiler.sweep.axes import Axis, Value, read_axes
from compiler.sweep.points import LONGEST_FOLDER, NAME, Point
from compiler.sweep.sharing import NEUTRAL, Shared
from compiler.sweep.sweeping import Sweep, compiled_points, outcomes, sweep_of
from schemas.diagnostic import Diagnostic
from schemas.plan import Plan, leaves

SAFE = re.compile(r"[A-Za-z0-9_.+=,-]+")


def swept(*matrix: str, text: str | None = None, most: int = 10_000, **options: Any) -> tuple[Sweep, list[Diagnostic]]:
    return sweep_of("r.yaml", text or text_of(), RECIPES, matrix, Options(**options), most=most)


def points(*matrix: str, **changes: Any) -> tuple[Point, ...]:
    sweep, found = swept(*matrix, text=text_of(**changes))
    assert found == []
    return sweep.points


def axes(*matrix: str) -> list[list[str]]:
    found, wrong = read_axes(matrix, parse(text_of(), "r.yaml"), ())
    assert wrong == []
    return [[value.text for value in axis.values] for axis in found]


# --- the syntax


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("method.rank=8,16,32", ["8", "16", "32"]),
        ("training.learning_rate= 1e-4 , 2e-4 ", ["1e-4", "2e-4"]),
        ("method.target_modules=all-linear,[q_proj, v_proj]", ["all-linear", "[q_proj, v_proj]"]),
        ("method.target_modules=re:.*[qv]_proj,mlp", ["re:.*[qv]_proj", "mlp"]),
        ("""data.system="a, b",'c, d''s',it's fine""", ['"a, b"', "'c, d''s'", "it's fine"]),
        ('data.system="a \\"b, c\\"",x', ['"a \\"b, c\\""', "x"]),
        ("method={kind: lora, rank: 8},{kind: full}", ["{kind: lora, rank: 8}", "{kind: full}"]),
        ('data.train.fields={messages: "a, ]"},{messages: it\'s}', ['{messages: "a, ]"}', "{messages: it's}"]),
        ("data.validation=0.1,null,8", ["0.1", "null", "8"]),
    ],
)
def test_commas_part_values_but_not_inside_of_brackets_and_quotes(option: str, values: list[str]) -> None:
    assert axes(option) == [values]


@pytest.mark.parametrize(
    ("matrix", "code", "message", "marked"),
    [
        (["method.rank"], "FTC350", "cannot read --matrix method.rank", "method.rank"),
        (["=8"], "FTC350", "cannot read --matrix =8", "=8"),
        (["~method.rank=8"], "FTC350", "cannot read --matrix ~method.rank=8", "~method.rank=8"),
        (["method.rank= "], "FTC350", "method.rank is given no values", "method.rank= "),
        (["method.rank=8,,16"], "FTC350", "method.rank has an empty value", ","),
        (["method.rank=8,"], "FTC350", "method.rank has an empty value", ""),
        (["method.target_modules=all-linear,[q"], "FTC350", "what [ opens is not closed", "["),
        (['data.system="a'], "FTC350", 'what " opens is not closed', '"'),
        (["data.system=[a]b"], "FTC350", "something follows the value's end", "b"),
        (["data.system=a: b,c"], "FTC350", "the value a: b of data.system is not readable as YAML", "a: b"),
        (["method.rank=8", "method.rank=16"], "FTC351", "method.rank is varied twice", "method.rank"),
        (["method={kind: ia3}", "method.rank=16"], "FTC351", "method.rank is varied beside method", "method.rank"),
        (["training.epochs=1,1.0"], "FTC352", "training.epochs has the value 1.0 twice", "1.0"),
        (
            ["training.learning_rate=1e-4,0.0001"],
            "FTC352",
            "training.learning_rate has the value 0.0001 twice",
            "0.0001",
        ),
        (["name=a,b"], "FTC353", "name cannot be varied", "name"),
        (["version=1,2"], "FTC353", "version cannot be varied", "version"),
        (["method.rnak=8"], "FTC354", "there is no method.rnak in this recipe", "method.rnak"),
        (["nothing.there=8"], "FTC354", "there is no nothing.there in this recipe", "nothing.there"),
    ],
)
def test_a_mistake_is_told_at_its_place(matrix: list[str], code: str, message: str, marked: str) -> None:
    _, found = swept(*matrix)
    assert [(item.code, item.message, item.file) for item in found] == [(code, message, "--matrix")]
    span = found[0].span
    assert matrix[span.line - 1][span.column - 1 : span.end_column - 1] == marked
    assert found[0].hint


def test_what_is_set_cannot_be_varied_too() -> None:
    _, found = swept("method.rank=8,16", sets=("method.rank=4",))
    assert [item.code for item in found] == ["FTC351"]
    _, found = swept("hardware.gpu=t4,l4", gpu="h100")
    assert [item.code for item in found] == ["FTC351"]


def test_all_mistakes_are_told_at_once() -> None:
    _, found = swept("method.rank=8,,9", "training.seed=", "training.epochs=1,1")
    assert [item.code for item in found] == ["FTC350", "FTC350", "FTC352"]


def test_points_are_counted_before_they_are_made() -> None:
    many = ",".join(map(str, range(1, 1000)))
    _, found = swept(f"method.rank={many}", f"training.seed={many}", f"training.max_steps={many}", most=1000)
    assert [(item.code, item.message) for item in found] == [
        ("FTC355", "999 x 999 x 999 values make 997,002,999 points, and 1,000 are the most here")
    ]


# --- laws


WORDS = st.text("abcXYZ019._-+/ äé:#'", min_size=1, max_size=50).filter(
    lambda text: text.strip() == text and not read_value(text).diagnostics and read_value(text).data == {"value": text}
)
RANKS = st.lists(st.integers(1, 256), min_size=1, max_size=4, unique=True).map(
    lambda found: [str(each) for each in found]
)
RATES = st.lists(st.floats(1e-7, 1e-2), min_size=1, max_size=4, unique=True).map(
    lambda found: [f"{each:.17e}" for each in found]
)
SYSTEMS = st.lists(WORDS, min_size=1, max_size=4, unique=True)
VARIED = st.fixed_dictionaries(
    {},
    optional={"method.rank": RANKS, "training.learning_rate": RATES, "data.system": SYSTEMS, "model.revision": SYSTEMS},
).filter(bool)


@given(VARIED, st.sampled_from(["small", "a" * 64, "x.y_z-1"]))
@settings(max_examples=60)
def test_points_are_the_product_of_their_axes(varied: dict[str, list[str]], name: str) -> None:
    matrix = [f"{key}={','.join(values)}" for key, values in varied.items()]
    made = points(*matrix, name=name)
    assert len(made) == prod(map(len, varied.values()))
    assert len({tuple(point.values.items()) for point in made}) == len(made)
    assert made == points(*matrix, name=name)
    assert [point.number for point in made] == list(range(1, len(made) + 1))
    *_, last = varied
    assert [point.values[last] for point in made[: len(varied[last])]] == varied[last], "the last changes fastest"


@given(VARIED, st.sampled_from(["small", "a" * 64]))
@settings(max_examples=60)
def test_names_are_unique_safe_and_short(varied: dict[str, list[str]], name: str) -> None:
    made = points(*(f"{key}={','.join(values)}" for key, values in varied.items()), name=name)
    assert len({point.folder.casefold() for point in made}) == len(made), "also where letter case is not told apart"
    assert len({point.run for point in made}) == len(made)
    for point in made:
        assert SAFE.fullmatch(point.folder)
        assert len(point.folder) <= LONGEST_FOLDER
        assert point.run
        assert NAME.fullmatch(point.run)


@given(st.data())
@settings(max_examples=30)
def test_a_point_differs_from_the_recipe_in_its_axes_alone(data: st.DataObject) -> None:
    varied = data.draw(VARIED)
    sweep, _ = swept(*(f"{key}={','.join(values)}" for key, values in varied.items()))
    plain = compile_recipe("r.yaml", text_of(), RECIPES, Options()).plan
    assert plain
    for point, compiled in compiled_points(sweep):
        assert compiled.plan
        before, after = leaves(plain), leaves(compiled.plan)
        differing = {path for path in after if before.get(path) != after[path]}
        follows = {"method.alpha"} if "method.rank" in varied else set[str]()
        assert differing <= {*varied, *follows, "name", "output.dir", "logging.project"}
        assert after["name"] == point.run
        assert after["output.dir"] == str(RECIPES / "outputs" / str(point.run))
        for key, text in point.values.items():
            assert after[key] == (read_value(text).data or {})["value"]


@pytest.mark.parametrize(("own", "project"), [({}, "small"), ({"project": "ours"}, "ours")])
def test_trackers_file_all_points_under_one_project(own: dict[str, str], project: str) -> None:
    sweep, _ = swept("method.rank=8,16", text=text_of(logging={"to": ["wandb"], **own}))
    assert {compiled.plan and compiled.plan.logging.project for _, compiled in compiled_points(sweep)} == {project}


def test_a_sweep_brings_no_findings_of_its_own() -> None:
    for target in ("native", "axolotl", "llamafactory", "unsloth"):
        options = Options(target=target, online=False)
        alone = compile_recipe("r.yaml", text_of(), RECIPES, options).diagnostics
        sweep, _ = sweep_of("r.yaml", text_of(), RECIPES, ("method.rank=16",), options, most=10)
        assert [item.diagnostics for item in outcomes(sweep)] == [alone]


def test_more_values_leave_the_names_of_the_others_as_they_are() -> None:
    before = {point.folder: point.run for point in points("method.rank=8,16", "training.seed=1,2")}
    after = {point.folder: point.run for point in points("method.rank=4,8,16", "training.seed=3,2,1")}
    assert before.items() <= after.items()


def test_keys_that_end_alike_are_told_apart() -> None:
    made = points("data.train[0].weight=1,2", "data.train[1].weight=3", data={"train": [{"path": "a"}, {"path": "b"}]})
    assert [point.folder for point in made] == [
        "train.0.weight=1,train.1.weight=3",
        "train.0.weight=2,train.1.weight=3",
    ]


def test_a_memory_that_was_stated_for_another_card_goes_with_it() -> None:
    hardware = {"gpu": "t4", "memory": "15GiB"}
    sweep, _ = swept("hardware.gpu=l4,h100", text=text_of(hardware=hardware))
    found = [item.footprint.capacity for item in outcomes(sweep) if item.footprint]
    assert len(set(found)) == 2
    sweep, _ = swept("hardware.gpu=l4,h100", text=text_of(hardware=hardware), sets=("hardware.memory=20GiB",))
    assert {item.footprint and item.footprint.capacity for item in outcomes(sweep)} == {20 << 30}


# --- refused points


def test_a_wrong_value_refuses_its_points_alone_and_is_told_at_its_place() -> None:
    sweep, wrong = swept("method.rank=8,none", "training.seed=1,2")
    assert wrong == []
    found = outcomes(sweep)
    assert [item.state for item in found] == ["fits", "fits", "refused", "refused"]
    for item in found[2:]:
        assert [(error.code, error.file) for error in item.errors] == [("FTC103", "--matrix")]
        span = item.errors[0].span
        assert sweep.matrix[span.line - 1][span.column - 1 : span.end_column - 1] == "none"


def test_a_leaf_of_some_points_only_is_no_mistake() -> None:
    changes = {"method": {"kind": "lora"}}
    sweep, wrong = swept("method.kind=lora,full", "method.rank=8,16", text=text_of(**changes))
    assert wrong == []
    assert [item.state for item in outcomes(sweep)] == ["fits", "fits", "refused", "refused"]


def test_a_point_that_no_target_takes_is_refused_with_its_code() -> None:
    sweep, _ = swept("method.kind=lora,ia3", target="axolotl")
    found = outcomes(sweep)
    assert [item.state for item in found] == ["fits", "refused"]
    assert [error.code for error in found[1].errors] == ["FTC402"]


# --- what is shared


NAMES = [path.name for path in sorted(RECIPES.glob("*.ftc.yaml"))]
VALUES: dict[str, list[object]] = {
    "training.learning_rate": ["auto", 1e-5, 2e-4],
    "training.scheduler": ["cosine", "linear", "constant"],
    "training.min_lr_ratio": [0.0, 0.1],
    "training.warmup": [0.0, 0.1, 50],
    "training.weight_decay": [0.0, 0.1],
    "training.betas": ["auto", [0.9, 0.95]],
    "training.epsilon": ["auto", 1e-6],
    "training.max_grad_norm": [0.0, 1.0],
    "training.seed": [1, 42],
    "training.epochs": [1, 2.5],
    "training.max_steps": [10, 1000],
    "data.system": [None, "Be brief."],
    "data.shuffle": [True, False],
    "checkpoint.every": ["epoch", 100, None],
    "checkpoint.keep": [1, 3],
    "checkpoint.resume": ["auto", "never"],
    "logging.every": [1, 10],
    "logging.to": [[], ["tensorboard"]],
    "logging.project": ["auto-a", "auto-b"],
    "output.dir": ["outputs", "elsewhere"],
    "method.alpha": ["auto", 8, 64],
}
"""Every leaf that sharing takes for neutral, with values that differ."""
HEAVY: dict[str, list[object]] = {
    "method.rank": [8, 64],
    "method.kind": ["lora", "qlora", "full"],
    "data.max_length": [512, 2048],
    "data.packing": [True, False],
    "training.global_batch_size": [16, 32],
    "training.micro_batch_size": ["auto", 1],
    "training.optimizer": ["adamw", "paged_adamw_8bit", "adafactor"],
    "training.gradient_checkpointing": ["auto", True],
    "evaluation.every": ["epoch", None],
    "hardware.gpu": ["t4", "h100"],
    "hardware.count": [1, 2],
}
"""Some that decide memory or speed."""


def test_every_neutral_leaf_is_put_to_the_test() -> None:
    named = {f"{section}.{leaf}" for section, found in NEUTRAL.items() for leaf in found}
    assert {*VALUES} == {*named, "method.alpha"}


def some(pool: dict[str, list[object]]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in pool.items()})


def compiled_alike(name: str, settings_: list[dict[str, object]], options: Options) -> list[tuple[Compiled, Compiled]]:
    """Each point by what is shared with those before it, and by itself."""
    text = (RECIPES / name).read_text("utf-8")
    made = [tuple(f"{key}={json.dumps(value)}" for key, value in each.items()) for each in settings_]
    sweep, _ = sweep_of(name, text, RECIPES, ("training.seed=1",), options, most=10)
    sweep = replace(sweep, points=tuple(Point(number, {}, "", "", sets) for number, sets in enumerate(made)))
    alone = [compile_recipe(name, text, RECIPES, replace(options, sets=sets)) for sets in made]
    return [(shared, own) for (_, shared), own in zip(compiled_points(sweep), alone, strict=True)]


@given(
    st.sampled_from(NAMES),
    st.sampled_from(["native", "axolotl", "llamafactory", "unsloth"]),
    some(HEAVY),
    st.lists(some(VALUES), min_size=2, max_size=4),
)
@settings(max_examples=80)
def test_a_point_comes_to_the_same_whatever_it_shares(
    name: str, target: Any, heavy: dict[str, object], neutral: list[dict[str, object]]
) -> None:
    options = Options(target=target, online=False)
    for shared, own in compiled_alike(name, [{**heavy, **each} for each in neutral], options):
        assert shared == own


@pytest.mark.parametrize("leaf", VALUES)
def test_a_neutral_leaf_changes_neither_what_is_solved_nor_what_is_weighed(leaf: str) -> None:
    """One at a time, in every recipe, as all points of a sweep over it."""
    each = [{leaf: value} for value in VALUES[leaf]]
    pairs = [pair for name in NAMES for pair in compiled_alike(name, each, Options(target="native", online=False))]
    for shared, own in pairs:
        assert shared == own
    assert sum(own.footprint is not None for _, own in pairs) > len(NAMES), "most of them are valid"


def test_a_leaf_that_is_not_neutral_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: a length that is taken for neutral makes points wrong."""
    monkeypatch.setitem(NEUTRAL, "data", {**NEUTRAL["data"], "max_length": 1024})
    each: list[dict[str, object]] = [{"data.max_length": 512}, {"data.max_length": 2048}]
    pairs = compiled_alike(NAMES[1], each, Options(target="native", online=False))
    assert any(shared != own for shared, own in pairs)


def test_points_that_memory_does_not_tell_apart_are_solved_once() -> None:
    solved = list[Plan]()

    def solve(plan: Plan, *more: Any) -> Plan:
        solved.append(plan)
        return STEPS.solve(plan, *more)

    text = text_of(training={"global_batch_size": 16})
    sweep, _ = swept("training.learning_rate=1e-4,2e-4,3e-4", "method.rank=8,16", "training.seed=1,2", text=text)
    shared = Shared(Steps(solve=solve))
    assert len(list(compiled_points(sweep, shared))) == 12
    assert len(solved) == 2
    assert sharing.neutral(solved[0]) == solved[0]


# --- ftc plan --matrix


def test_plan_shows_a_table_and_ends_by_the_first_that_applies(tmp_path: Path) -> None:
    recipe = put(tmp_path, hardware={"gpu": "t4"}, training={"global_batch_size": 16})
    done = ftc("plan", recipe, "--matrix", "method.rank=8,512", "--matrix", "method.kind=lora,full", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "4 points: " in done.stdout
    assert "FTC104 rank is not a leaf of full" in done.stdout
    assert "(in 2 of 4 points)" in done.stdout
    large = ftc("plan", recipe, "--matrix", "model.base=llama-3.2-1b-instruct,llama-3.1-70b-instruct", cwd=tmp_path)
    assert large.returncode == 3, large.stdout
    assert "2 points: 1 fits, 1 does not fit" in large.stdout
    assert "Traceback" not in large.stderr


def test_plan_as_json_has_every_point_typed(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    matrix = ("--matrix", "method.rank=8,x", "--matrix", "method.target_modules=all-linear,[q_proj, v_proj]")
    done = ftc("plan", recipe, *matrix, "--format", "json", "--set", "method.dropout=0.1", cwd=tmp_path)
    assert done.returncode == 1
    data = json.loads(done.stdout)
    assert data["format_version"] == 1
    assert data["axes"][1] == {"key": "method.target_modules", "values": ["all-linear", ["q_proj", "v_proj"]]}
    assert data["counts"] == {"fits": 2, "tight": 0, "unknown": 0, "does_not_fit": 0, "refused": 2}
    assert [point["set"]["method.rank"] for point in data["points"]] == [8, 8, "x", "x"]
    first, last = data["points"][0], data["points"][-1]
    assert first["memory"]["device_gib"] > 0
    assert first["tokens_per_second"] > 0
    assert last["memory"] is None
    assert last["diagnostics"][0]["file"] == "--matrix"


def test_json_stays_json_whatever_the_values_are(tmp_path: Path) -> None:
    matrix = ("--matrix", "training.learning_rate=.inf,.nan,1e-4", "--matrix", "data.system=\u00e4,'\\u2028',\"\\t\"")
    done = ftc("plan", put(tmp_path), *matrix, "--format", "json", cwd=tmp_path)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    data = json.loads(done.stdout, parse_constant=refuse)
    assert [point["set"]["training.learning_rate"] for point in data["points"]][::3] == [".inf", ".nan", 1e-4]


@pytest.mark.parametrize(
    "options",
    [
        ("plan", "--gpu", "all"),
        ("plan", "--stack", "all"),
        ("plan", "--exact"),
        ("plan", "--calibration", "x"),
        ("plan", "--format", "html"),
        ("build", "--target", "native", "--stdout"),
        ("run", "--fresh"),
        ("run", "--measure"),
        ("run", "--target", "axolotl"),
    ],
    ids=" ".join,
)
def test_what_means_nothing_beside_matrix_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    command, *rest = options
    done = ftc(command, put(tmp_path), "--matrix", "method.rank=8,16", *rest, cwd=tmp_path)
    assert done.returncode == 2
    assert "--matrix" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"data", "r.yaml"}


def test_a_recipe_that_is_no_yaml_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\n\tname: x\n")
    done = ftc("plan", "r.yaml", "--matrix", "method.rank=8,16", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("FTC001") == 1


def test_many_findings_are_not_poured_out(tmp_path: Path) -> None:
    values = ",".join(f"x{number}" for number in range(60))
    done = ftc("plan", put(tmp_path), "--matrix", f"method.rank={values}", cwd=tmp_path)
    assert done.stdout.count("error FTC103") == MOST
    assert "and 40 more findings" in done.stdout


def test_values_are_given_at_tab() -> None:
    from compiler.completion.words import axes as offered

    assert "method.rank=" in [item.value for item in offered("method.r")]
    schedulers = [item.value for item in offered("training.scheduler=")]
    assert "training.scheduler=linear" in schedulers
    more = [item.value for item in offered("training.scheduler=linear,co")]
    assert more == ["training.scheduler=linear,cosine", "training.scheduler=linear,constant"]
    assert offered("~data") == []


def test_an_axis_keeps_its_place() -> None:
    found, _ = read_axes(("training.seed=1, 22",), parse(text_of(), "r.yaml"), ())
    assert found == (Axis("training.seed", (Value("1", 15), Value("22", 18)), 1),)


def test_a_sweep_of_what_a_provider_trains_is_refused() -> None:
    recipe = str(RECIPES / "gpt-4o-mini-support.ftc.yaml")
    for words in ((), ("--target", "openai")):
        result = ftc("plan", recipe, *words, "--matrix", "training.seed=1,2")
        assert result.returncode == 2
        assert "leave out --matrix" in result.stderr
