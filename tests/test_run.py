"""A child process: its output, its end, and the signals on its way. Children are real, and so are the signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from backends.native import EXTRAS
from compiler.errors import FtcError
from compiler.run import command
from schemas.artifact import Artifact

ROOT = Path(__file__).parents[1]
RUNNER = """
import sys
from contextlib import suppress
from pathlib import Path
from compiler.run import run_child
ended = run_child([sys.executable, "-u", "-c", sys.argv[1]], Path())
print(ended.code, ended.signalled, ended.tail, flush=True)
"""
WAITER = """
import signal, sys
def stop(number, frame):
    print("got", number, flush=True)
    sys.exit(3)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
print("ready", flush=True)
signal.pause()
"""


def start(child: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, child],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_output_is_passed_on_and_the_end_remembered() -> None:
    runner = start("import sys; print('out'); print('one\\n\\ntwo', file=sys.stderr); sys.exit(7)")
    out, err = runner.communicate()
    assert out == "out\n7 None ('one', 'two')\n"
    assert err == "one\n\ntwo\n"


def test_only_the_last_lines_are_kept() -> None:
    out, err = start("import sys; [print(n, file=sys.stderr) for n in range(9000)]; sys.exit(1)").communicate()
    assert err.splitlines() == [str(n) for n in range(9000)]
    assert out.endswith("'8998', '8999')\n")
    assert "'8984'" not in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_child_once(number: signal.Signals) -> None:
    runner = start(WAITER)
    assert runner.stdout
    assert runner.stdout.readline() == "ready\n"
    runner.send_signal(number)
    out, _ = runner.communicate()
    assert out == f"got {number.value}\n3 {number.value} ('ready', 'got {number.value}')\n"


def test_under_nohup_the_child_outlives_the_terminal() -> None:
    """SIGHUP is ignored there, and stays so; other signals are passed on as ever."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner = start(WAITER)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert runner.stdout
    assert runner.stdout.readline() == "ready\n"
    runner.send_signal(signal.SIGHUP)
    runner.send_signal(signal.SIGTERM)
    out, _ = runner.communicate()
    assert out == "got 15\n3 15 ('ready', 'got 15')\n"


def test_a_tool_that_says_its_errors_on_standard_output_is_heard() -> None:
    """Axolotl's log goes there."""
    out, _ = start("import sys; print('CUDA out of memory'); sys.exit(3)").communicate()
    assert out == "CUDA out of memory\n3 None ('CUDA out of memory',)\n"


def test_ctrl_c_at_a_terminal_reaches_the_child_once() -> None:
    """A terminal sends it to the whole foreground group; the child has a group of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-c", RUNNER, WAITER], {**os.environ, "PYTHONPATH": str(ROOT)})
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        seen = b""
        while b"ready" not in seen:
            seen += screen.read(1024)
        screen.write(b"\x03")
        # Linux ends a terminal whose last process has gone with an error, not with an empty read.
        with suppress(OSError):
            while chunk := screen.read(1024):
                seen += chunk
    os.waitpid(pid, 0)
    assert seen.count(b"got 2") == 1
    assert b"3 2 ()" in seen


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_child_is_told_to_stop_where_we_are_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    runner = start(WAITER.replace('print("got", number, flush=True)', f"open({str(told)!r}, 'w').write(str(number))"))
    assert runner.stdout
    assert runner.stdout.readline() == "ready\n"
    runner.kill()
    assert told.read_text() == str(signal.SIGTERM.value)
    runner.communicate()


def test_a_child_killed_from_elsewhere() -> None:
    out, _ = start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").communicate()
    assert out == "137 None ()\n"


def test_a_grandchild_that_holds_the_stream_open_does_not_hold_us(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits = [sys.executable, "-c", f"open({str(gate)!r}).read()"]
    runner = start(f"import subprocess, os; subprocess.Popen({waits!r}, stdout=subprocess.DEVNULL); os._exit(0)")
    out, _ = runner.communicate(timeout=60)
    assert out == "0 None ()\n"
    gate.open("w").close()


def test_python_keeps_the_script_folder_off_its_path(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "train.py").write_text("import json; print('trained')")
    made = Artifact("native", "train.py", {}, ("python", "train.py"))
    done = subprocess.run(command(made), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "trained\n"


def test_a_launcher_that_is_not_there() -> None:
    with pytest.raises(FtcError, match='no command "torchrun-of-nowhere"') as stopped:
        command(Artifact("native", "plan.json", {}, ("torchrun-of-nowhere", "train.py")))
    assert stopped.value.exit_code == 4
    assert "pip install 'ftc[native]'" in str(stopped.value.hint)


def test_a_tracker_that_is_not_there_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "nowhere", "tracker-of-nowhere==1.0")
    files = {"requirements.txt": "torch==0.0\ntracker-of-nowhere==1.0\n"}
    with pytest.raises(FtcError, match="not installed here: tracker-of-nowhere") as stopped:
        command(Artifact("native", "plan.json", files, ("python", "train.py")))
    assert (stopped.value.exit_code, stopped.value.hint) == (4, "pip install tracker-of-nowhere==1.0")


def test_a_tool_brings_its_own_environment() -> None:
    found = command(Artifact("axolotl", "config.yaml", {}, ("sh", "run.sh")))
    assert Path(found[0]).name == "sh"
    assert found[1:] == ["run.sh"]


def test_kernels_that_were_chosen_and_are_not_installed_are_left_out(tmp_path: Path) -> None:
    """Where the recipe asks for them, their package is asked for instead."""
    recipe = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"

    def run(*sets: str) -> subprocess.CompletedProcess[str]:
        words = [word for said in ("hardware.gpu=h100", *sets) for word in ("--set", said)]
        call = [sys.executable, "-m", "compiler.cli", "run", str(recipe), "--dry-run", *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)

    chosen = run()
    plan = json.loads((tmp_path / "build" / "quickstart" / "native" / "plan.json").read_text())
    assert plan["training"]["kernels"] == "none"
    assert "liger-kernel" in chosen.stderr
    assert "liger-kernel" not in (tmp_path / "build" / "quickstart" / "native" / "requirements.txt").read_text()
    asked = run("training.kernels=liger", "name=asked")
    assert "trained without" not in asked.stderr
    assert "liger-kernel" in (tmp_path / "build" / "asked" / "native" / "requirements.txt").read_text()
