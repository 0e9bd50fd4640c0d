"""`ftc doctor` with real child processes: scripts stand in for nvidia-smi, a module for a torch that sees a card."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from calls import ROOT, ftc

from compiler.doctor.child import ask
from compiler.doctor.environment import has_code
from compiler.doctor.targets import pins

TORCH = """\
__version__ = "2.13.0"
class version:
    cuda, hip = {cuda!r}, None
class cuda:
    is_available = staticmethod(lambda: {sees})
    get_arch_list = staticmethod(lambda: {arches})
    get_device_capability = staticmethod(lambda number: (7, 5))
class _Sum:
    def __add__(self, other): return self
    def sum(self): return 4.0
float16 = None
def ones(*shape, **more):
    if {fails!r}: raise RuntimeError({fails!r})
    return _Sum()
"""


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """All that is on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "python3"):
        (folder / name).symlink_to(sys.executable if name == "python3" else "/bin/sh")
    return folder


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def looked(
    *arguments: str, path: Path, modules: Path | None = None, code: int = 0, **env: str
) -> dict[tuple[str, str], dict[str, Any]]:
    """Group and subject → line."""
    variables = {"PATH": str(path), **env}
    if modules:
        variables["PYTHONPATH"] = f"{modules}:{ROOT}"
    done = ftc("doctor", *arguments, "--format", "json", env=variables)
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["format_version"] == 1
    if report["target"]:
        assert report["can_run"] == (code == 0)
    return {(line["group"], line["subject"]): line for line in report["lines"]}


def card_line(folder: Path, answer: str) -> dict[str, Any]:
    script(folder, "nvidia-smi", answer)
    return looked("--target", "axolotl", path=folder)["this machine", "card"]


def test_text_says_where_it_stands() -> None:
    done = ftc("doctor", "--target", "native")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("this machine\n  ok ")
    assert "as tested" in done.stdout
    assert done.stdout.endswith("native can run here\n")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("row", "status", "said"),
    [
        ("NVIDIA GeForce RTX 4090, 24564, 400, 580.65.06, 8.9", "ok", "called rtx-4090 in recipes"),
        ("Tesla T4, 15360, 3, 550.54, 7.5", "ok", "called t4 in recipes"),
        ("NVIDIA L4, 23034, 9000, 580.65, 8.9", "warning", "8.8 GiB of it in use"),
        ("NVIDIA Imaginary 9000, 50000, 0, 590.1, 12.0", "note", "not in ftc's catalog"),
        ("[N/A], [N/A], [N/A], 580, 9.0", "warning", "cannot read"),
    ],
    ids=["4090", "t4", "busy", "unknown", "odd"],
)
def test_the_card_is_the_catalogs(bin_folder: Path, row: str, status: str, said: str) -> None:
    line = card_line(bin_folder, f"echo '{row}'")
    assert line["status"] == status
    assert said in line["said"]
    assert (line["remedy"] is not None) == (said not in ("cannot read",) and status != "ok")


def test_a_driver_that_fails_is_a_line(bin_folder: Path) -> None:
    line = card_line(bin_folder, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    assert line["status"] == "warning"
    assert "ended with code 18: Failed to initialize NVML" in line["said"]
    assert "restart" in line["remedy"]
    assert card_line(bin_folder, "exit 0")["said"] == "nvidia-smi names none"
    assert "SIGSEGV" in card_line(bin_folder, "kill -SEGV $$")["said"]


def test_a_program_that_hangs_or_cannot_start_is_an_answer(tmp_path: Path) -> None:
    assert ask(("/bin/sh", "-c", "while :; do :; done"), 0.3).failure == "did not answer within 0.3 seconds"
    (tmp_path / "tool").write_text("no program")
    assert "cannot be started" in (ask((str(tmp_path / "tool"),), 5).failure or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("raise OSError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("raise SystemExit(0)", "said nothing"),
    ],
    ids=["crash", "library", "exit"],
)
def test_4_a_broken_torch_is_a_line_and_no_traceback(bin_folder: Path, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "torch.py").write_text(text)
    found = looked("--target", "native", path=bin_folder, modules=tmp_path / "modules", code=4)
    line = found["this environment", "torch"]
    assert line["status"] == "missing"
    assert said in line["said"]
    assert f"torch=={pins('native', None)['torch']}" in line["remedy"]
    looked("--target", "axolotl", path=bin_folder, modules=tmp_path / "modules")  # which has an environment of its own


@pytest.mark.parametrize(
    ("torch", "status", "expected"),
    [
        ({"cuda": "13.0", "sees": True, "arches": ["sm_75", "sm_90"]}, "ok", ("computes on it", None)),
        ({"cuda": "13.0", "sees": True, "arches": ["sm_80", "sm_90"]}, "warning", ("no code for this card", "7.5")),
        (
            {"cuda": "13.0", "sees": True, "arches": ["sm_80"], "fails": "no kernel image is available"},
            *("warning", ("no code for this card", "7.5")),
        ),
        (
            {"cuda": "13.0", "sees": True, "arches": ["sm_75"], "fails": "CUDA out of memory.\nTried"},
            *("warning", ("cannot compute on it: RuntimeError: CUDA out of memory.", "nvidia-smi")),
        ),
        ({"cuda": "13.0", "sees": False, "arches": []}, "warning", ("does not see the card", "driver 580 or newer")),
        ({"cuda": None, "sees": False, "arches": []}, "warning", ("for the CPU alone", "CUDA")),
    ],
    ids=["well", "too new a build", "which shows", "full", "old driver", "cpu build"],
)
def test_torch_and_the_card(
    bin_folder: Path, tmp_path: Path, torch: dict[str, Any], status: str, expected: tuple[str, str | None]
) -> None:
    said, remedy = expected
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "torch.py").write_text(TORCH.format(**{"fails": "", **torch}))
    script(bin_folder, "nvidia-smi", "echo 'Tesla T4, 15360, 3, 550.54, 7.5'")
    found = looked("--target", "native", path=bin_folder, modules=tmp_path / "modules")
    line = found["this environment", "torch"]
    assert line["status"] == status
    assert said in line["said"]
    assert remedy in line["remedy"] if remedy else line["remedy"] is None
    assert ("does not work" in found["this environment", "bitsandbytes"]["said"]) == torch["sees"]


def test_code_runs_on_cards_of_its_kind() -> None:
    assert has_code(["sm_80"], 8, 6)
    assert not has_code(["sm_86"], 8, 0)
    assert not has_code(["sm_80"], 9, 0)
    assert has_code(["sm_80", "compute_80"], 12, 0)
    assert has_code(["sm_90a", "sm_100", "sm_120"], 12, 0)
    assert has_code(["gfx942"], 9, 4)


def test_versions_are_compared_with_the_pins(bin_folder: Path, tmp_path: Path) -> None:
    info = tmp_path / "modules" / "trl-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trl\nVersion: 1.0.0\n")
    found = looked("--target", "native", path=bin_folder, modules=tmp_path / "modules")
    line = found["native", "trl"]
    assert (line["status"], line["remedy"]) == ("warning", f"pip install trl=={pins('native', None)['trl']}")
    assert line["said"].startswith("1.0.0; tested with ")


def test_4_a_tool_whose_environment_cannot_be_made(bin_folder: Path) -> None:
    (bin_folder / "python3").unlink()
    found = looked("--target", "unsloth", path=bin_folder, code=4)
    assert "no python3" in found["unsloth", "environment"]["said"]
    script(bin_folder, "python3", "echo 'No module named ensurepip' >&2; exit 1")
    found = looked("--target", "unsloth", path=bin_folder, code=4)
    assert "python3-venv" in found["unsloth", "environment"]["remedy"]
    found = looked("--target", "unsloth", path=bin_folder, code=4, VENV=str(bin_folder))
    assert "has no bin/python" in found["unsloth", "environment"]["said"]


def test_another_version_has_pins_of_its_own(bin_folder: Path) -> None:
    assert "0.17.0" in looked("--target", "axolotl@0.17", path=bin_folder)["axolotl", "axolotl"]["said"]


def test_a_token_is_never_shown(bin_folder: Path, tmp_path: Path) -> None:
    done = ftc("doctor", "--target", "axolotl", env={"HF_TOKEN": "hf_secret123", "PATH": str(bin_folder)})
    assert "there is one, in HF_TOKEN" in done.stdout
    (tmp_path / "token").write_text("hf_secret456")
    (tmp_path / "hub").mkdir()
    kept = ftc(
        *("doctor", "--target", "axolotl", "--format", "json"),
        env={"HF_HOME": str(tmp_path), "HF_TOKEN": "", "PATH": str(bin_folder)},
    )
    assert "there is one, in " in kept.stdout
    assert "secret" not in done.stdout + done.stderr + kept.stdout + kept.stderr


def test_the_hub_is_asked_unless_it_may_not(bin_folder: Path) -> None:
    told = looked("--target", "axolotl", path=bin_folder)["the hub", "access"]
    assert told["said"] == "not asked: HF_HUB_OFFLINE=1"
    asked = looked(
        *("--target", "axolotl"),
        path=bin_folder,
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://user:secret@127.0.0.1:9",  # nobody listens there
    )["the hub", "access"]
    assert asked["said"] == "127.0.0.1 cannot be reached"
    odd = looked("--target", "axolotl", path=bin_folder, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://[")[
        "the hub", "access"
    ]
    assert odd["said"] == "what HF_ENDPOINT names cannot be reached"


def test_without_a_target_it_is_a_report(bin_folder: Path) -> None:
    (bin_folder / "sh").unlink()
    done = ftc("doctor", env={"PATH": str(bin_folder)})
    assert done.returncode == 0
    assert done.stdout.endswith("missing: sh (axolotl, llamafactory, unsloth)\n")
