"""GPUs: what a user may write, what the catalog says of a card, what this machine's driver answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.hardware import FILE, GpuProblem, all_gpus, find_gpu, this_cpu, this_machine
from schemas.facts import GIB, Gpu

CATALOG = json.loads(FILE.read_text())
WANTED = (
    *("t4", "v100-16gb", "v100-32gb", "l4", "l40s", "a10g", "rtx-a6000"),
    *("rtx-3060", "rtx-3070", "rtx-3080", "rtx-3090", "rtx-4060-ti-16gb", "rtx-4070", "rtx-4080", "rtx-4090"),
    *("rtx-5070", "rtx-5080", "rtx-5090", "a100-40gb", "a100-80gb", "h100", "h200", "b200", "mi300x", "cpu"),
)
NOMINAL_GIB = {"t4": 16, "l4": 24, "l40s": 48, "a10g": 24, "rtx-3060": 12, "rtx-3080": 10, "rtx-4090": 24}
NOMINAL_GIB |= {"rtx-5090": 32, "a100-40gb": 40, "a100-80gb": 80, "h100": 80, "h200": 141, "b200": 180, "rtx-a6000": 48}
GROWING = (("rtx-3070", "rtx-3080", "rtx-3090", "rtx-4090", "rtx-5090"), ("t4", "a100-40gb", "h100", "b200"))


def card(name: str) -> Gpu:
    found = find_gpu(name)
    assert isinstance(found, Gpu), found
    return found


@pytest.mark.parametrize("name", WANTED)
def test_the_usual_cards_are_known_by_name(name: str) -> None:
    assert card(name).name == name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("4090", "rtx-4090"),
        ("RTX 4090", "rtx-4090"),
        ("rtx4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 3090", "rtx-3090"),
        ("h100-80gb", "h100"),
        ("A100-80GB", "a100-80gb"),
        ("a6000", "rtx-a6000"),
        ("Tesla T4", "t4"),
        ("AMD Instinct MI300X", "mi300x"),
        ("CPU", "cpu"),
    ],
)
def test_a_card_answers_to_what_people_call_it(written: str, meant: str) -> None:
    assert card(written).name == meant


def test_every_alias_means_its_own_card() -> None:
    for name, entry in CATALOG["gpus"].items():
        for alias in (name, *entry["aliases"]):
            assert card(alias).name == name
            assert card(alias.upper()).name == name


def test_no_name_is_a_card_and_ambiguous_at_once() -> None:
    spoken = [alias for name, entry in CATALOG["gpus"].items() for alias in (name, *entry["aliases"])]
    assert len(spoken) == len(set(spoken))
    assert not set(spoken) & set(CATALOG["ambiguous"])


@pytest.mark.parametrize(
    ("name", "choices"),
    [("a100", ("a100-40gb", "a100-80gb")), ("v100", ("v100-16gb", "v100-32gb")), ("A100", ("a100-40gb", "a100-80gb"))],
)
def test_a_name_of_two_cards_says_which_two(name: str, choices: tuple[str, str]) -> None:
    problem = find_gpu(name)
    assert isinstance(problem, GpuProblem)
    assert problem.ambiguous
    for choice in choices:
        assert choice in problem.message
        assert isinstance(find_gpu(choice), Gpu)


def test_every_choice_of_an_ambiguous_name_is_a_card() -> None:
    for choices in CATALOG["ambiguous"].values():
        assert [card(choice).name for choice in choices] == choices


def test_a_misspelled_card_is_answered_with_the_nearest() -> None:
    problem = find_gpu("rtx-4091")
    assert isinstance(problem, GpuProblem)
    assert not problem.ambiguous
    assert problem.message == 'unknown GPU "rtx-4091"'
    assert problem.hint == 'did you mean "rtx-4090"?'


@pytest.mark.parametrize(
    ("name", "meant"),
    [("t4-16gb", "t4"), ("RTX4090 24GB", "rtx-4090"), ("h100-sxm5-80gb", "h100"), ("nvidia l4 24gb", "l4")],
)
def test_a_card_named_with_more_than_its_name(name: str, meant: str) -> None:
    problem = find_gpu(name)
    assert isinstance(problem, GpuProblem)
    assert problem.hint == f'did you mean "{meant}"?'


def test_a_name_like_none_gets_no_guess() -> None:
    problem = find_gpu("abacus")
    assert isinstance(problem, GpuProblem)
    assert problem.hint is None


def test_a_card_never_offers_more_than_its_nominal_memory() -> None:
    for name, size in NOMINAL_GIB.items():
        assert 0.88 * size < card(name).memory / GIB < size, name


def test_cards_before_ampere_have_no_bfloat16_and_later_ones_do() -> None:
    for gpu in all_gpus():
        if gpu.compute_capability is not None:
            assert gpu.has_bf16 == (gpu.compute_capability >= 8.0), gpu.name


def test_the_memory_of_a_cpu_is_unknown_until_the_machine_is_asked() -> None:
    assert card("cpu").is_cpu
    assert card("cpu").memory == 0
    assert this_cpu().memory > GIB // 4


def test_every_fact_has_a_source_and_every_price_a_date() -> None:
    for name, entry in CATALOG["gpus"].items():
        assert set(entry["sources"]) == {"memory", "rates", "price"}, name
        assert all(len(source) > 8 for source in entry["sources"].values()), name
        assert (entry["usd_per_hour"] is None) == (entry["price_date"] is None), name


def test_rates_grow_from_one_card_to_the_next_of_its_kind() -> None:
    for row in GROWING:
        rates = [card(name).fp16_tflops or 0.0 for name in row]
        bandwidths = [card(name).bandwidth or 0.0 for name in row]
        assert rates == sorted(rates)
        assert bandwidths == sorted(bandwidths)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an `nvidia-smi` in front of PATH that prints what it is told."""

    def install(answer: str, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("NVIDIA GeForce RTX 4090, 24564, 8.9", "rtx-4090"),
        ("NVIDIA A100-SXM4-40GB, 40960, 8.0", "a100-40gb"),
        ("NVIDIA A100 80GB PCIe, 81920, 8.0", "a100-80gb"),
        ("NVIDIA H100 80GB HBM3, 81559, 9.0", "h100"),
        ("NVIDIA H100 PCIe, 81559, 9.0", "h100-pcie"),
        ("Tesla T4, 15360, 7.5", "t4"),
        ("NVIDIA L4, 23034, 8.9", "l4"),
        ("NVIDIA L40S, 46068, 8.9", "l40s"),
        ("NVIDIA GeForce RTX 4060 Ti, 16380, 8.9", "rtx-4060-ti-16gb"),
        ("NVIDIA GeForce RTX 4060 Ti, 8188, 8.9", "rtx-4060-ti-8gb"),
        ("NVIDIA RTX 6000 Ada Generation, 49140, 8.9", "rtx-6000-ada"),
        ("NVIDIA GeForce RTX 3080, 12288, 8.6", "rtx-3080-12gb"),
    ],
)
def test_the_card_of_this_machine_is_found_in_the_catalog(driver, answer: str, name: str) -> None:
    driver(answer)
    assert this_machine() == card(name)


def test_of_several_cards_the_first_is_taken(driver) -> None:
    driver("NVIDIA L4, 23034, 8.9\nTesla T4, 15360, 7.5")
    assert this_machine() == card("l4")


@pytest.mark.parametrize(
    ("answer", "mib", "bf16"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU, 16376, 8.9", 16376, True),
        ("NVIDIA GeForce RTX 4090 D, 24564, 8.9", 24564, True),
        ("Quadro RTX 8000, 49152, 7.5", 49152, False),
    ],
)
def test_an_unlisted_card_is_what_its_driver_says(driver, answer: str, mib: int, bf16: bool) -> None:
    driver(answer)
    found = this_machine()
    assert found is not None
    assert found.memory == mib << 20
    assert found.has_bf16 is bf16
    assert found.bf16_tflops is None
    assert found.title == answer.split(",", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("answer", "code"), [("NVIDIA-SMI has failed", 9), ("No devices were found", 0), ("Orin, [N/A], 8.7", 0), ("", 0)]
)
def test_a_driver_that_does_not_answer_is_no_card(driver, answer: str, code: int) -> None:
    driver(answer, code)
    assert this_machine() is None


def test_a_machine_without_a_driver_has_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert this_machine() is None
