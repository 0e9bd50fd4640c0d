"""`ftc chat`: as a person has it at a terminal, and as a script has it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import pytest
from calls import ROOT, ftc
from finished_run import call, dates, finished

from compiler.commands import chat
from compiler.errors import FtcError

DATE = "12 May 2074"
PATIENCE = 90


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    return finished(folder, dates(folder, training={"max_steps": 40}))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "compiler.cli", "chat", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TERM": "dumb"}


def test_one_question(trained: Path) -> None:
    done = ftc("chat", trained, "--prompt", DATE)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\n", done.stdout)


def test_the_base_answers_otherwise(trained: Path) -> None:
    tuned, base = (call(chat.command, trained, "--prompt", DATE, *also).output for also in ((), ("--base",)))
    assert tuned != base
    assert not re.fullmatch(r"\d{4}-\d\d-\d\d\n", base)


def test_lines_of_standard_input_are_questions_of_their_own(trained: Path) -> None:
    asked = f"{DATE}\n\n 3 June 1999 \n{DATE}\n"
    done = call(chat.command, trained, said=asked)
    answers = done.output.splitlines()
    assert len(answers) == 3
    assert answers[0] == answers[2] == call(chat.command, trained, "--prompt", DATE).output.strip()
    assert call(chat.command, trained, said="").output == ""


def test_an_answer_is_no_longer_than_wanted(trained: Path) -> None:
    whole = call(chat.command, trained, "--prompt", DATE).output
    short = call(chat.command, trained, "--prompt", DATE, "--max-new-tokens", 3).output
    assert len(short) < len(whole)
    assert whole.startswith(short.strip())


def test_by_temperature_the_seed_decides(trained: Path) -> None:
    def drawn(seed: int) -> str:
        return call(chat.command, trained, "--prompt", "the", "--base", "--temperature", 2, "--seed", seed).output

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_the_system_message_is_that_of_the_run(trained: Path) -> None:
    from compiler.after.finished import Finished, find_run
    from compiler.after.talk import Manner, Talk

    run = find_run(str(trained))
    told = json.loads(json.dumps(run.plan))
    told["data"]["system"] = "Say the date."
    talking = Finished(run.folder, told, run.summary)
    said: dict[str | None, str] = {}
    for system in (None, "", "Be brief."):
        talk = Talk(talking, "cpu", Manner(system, 0.0, 0, 4), untouched=True)
        said[system] = talk._tokenizer.decode(talk._prompt([*talk._start, {"role": "user", "content": DATE}]))
    assert "Say the date." in said[None]
    assert "system" not in said[""]
    assert "Be brief." in said["Be brief."]
    told["model"]["chat_template"] = None
    talk = Talk(talking, "cpu", Manner(None, 0.0, 0, 4), untouched=True)
    assert talk._tokenizer.decode(talk._prompt(DATE), skip_special_tokens=True) == DATE  # a text, which is gone on with


def test_what_there_is_no_room_for_is_said(trained: Path) -> None:
    done = call(chat.command, trained, "--prompt", "date " * 3000)
    assert isinstance(done.exception, FtcError)
    assert re.search(r"makes \d,\d{3} tokens, and the model reads \d+ at most", done.exception.message)


def test_an_answer_ends_where_the_model_reads_no_further(trained: Path) -> None:
    """So hot a model never comes to an end by itself."""
    done = call(chat.command, trained, "--prompt", DATE, "--temperature", 99, "--max-new-tokens", 5000)
    from transformers import AutoTokenizer

    made = len(AutoTokenizer.from_pretrained(trained / "adapter")(done.output)["input_ids"])
    assert 200 < made < 1200
    assert done.return_value == 0


@pytest.mark.parametrize("temperature", ["1e-45", "nan", "inf", "-1", "0.001"])
def test_a_temperature_that_draws_nothing_is_refused(temperature: str, trained: Path) -> None:
    error = call(chat.command, trained, "--prompt", DATE, "--temperature", temperature).exception
    assert isinstance(error, click.BadParameter)


def test_a_seed_that_is_too_large_is_refused(trained: Path) -> None:
    done = call(chat.command, trained, "--prompt", DATE, "--temperature", 1, "--seed", 1 << 70)
    assert isinstance(done.exception, click.BadParameter)


def test_bytes_that_are_no_text_are_asked_as_question_marks(trained: Path) -> None:
    done, same = (call(chat.command, trained, "--prompt", f"{DATE}{end}", "--system", end) for end in ("\udcff", "?"))
    assert done.exception is None
    assert done.output == same.output


def test_without_standard_input_there_is_nothing_to_answer(trained: Path) -> None:
    script = 'exec "$@" <&-'
    done = subprocess.run(
        ["bash", "-c", script, "-", *command(trained)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "ask by --prompt TEXT" in done.stderr


def test_a_system_message_needs_a_template(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "plain", ignore=shutil.ignore_patterns("checkpoints"))
    plan = json.loads((run / "plan.json").read_text())
    plan["model"]["chat_template"] = None
    (run / "plan.json").write_text(json.dumps(plan))
    error = call(chat.command, run, "--system", "Be brief.", "--prompt", DATE).exception
    assert isinstance(error, FtcError)
    assert "no chat template, so no place for --system" in error.message


def test_no_run(tmp_path: Path) -> None:
    done = ftc("chat", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no folder" in done.stderr


# --- at a terminal


class Screen:
    """A terminal with the command in it."""

    def __init__(self, terminal: int) -> None:
        self._terminal, self.seen = terminal, ""

    def until(self, pattern: str) -> str:
        """What is shown up to and with this, from where it was read last."""
        fresh = ""
        ends = time.monotonic() + PATIENCE
        while not re.search(pattern, fresh):
            if not select.select([self._terminal], [], [], max(0, ends - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} never came; there is {fresh!r}")
            try:
                fresh += os.read(self._terminal, 4096).decode()
            except OSError:  # Linux's end of a terminal whose last process is gone
                break
        self.seen += fresh
        return fresh

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def break_off(self) -> None:
        """Ctrl-C, again where nothing came of it: Python's `input` misses one that comes between prompt and waiting."""
        for _ in range(9):
            self.type("\x03")
            if select.select([self._terminal], [], [], PATIENCE / 9)[0]:
                return


@contextmanager
def terminal(*arguments: object) -> Iterator[tuple[Screen, int]]:
    pid, descriptor = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(ROOT)
        os.execve(sys.executable, command(*arguments), ENVIRONMENT)
    try:
        yield Screen(descriptor), pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        os.close(descriptor)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_conversation_that_is_broken_off_and_ended(trained: Path) -> None:
    """Ctrl-C breaks off the answer, not the conversation; Ctrl-D ends it. So hot a model never comes to an end."""
    with terminal(trained, "--temperature", 9, "--max-new-tokens", 100_000) as (screen, pid):
        assert "Ctrl-D ends" in screen.until("> ")
        screen.type("tell me about modules\n")
        screen.until(r"modules\r\n(.*\n?){0,3}\w+ ")  # its answer has begun
        screen.type("\x03")
        screen.until("> ")
        screen.type("/new\n")
        screen.until("> ")
        screen.type("\x04")
        screen.until("nothing more")
        assert ended(pid) == 0
        assert "Traceback" not in screen.seen


def test_an_answer_does_not_steer_the_terminal() -> None:
    said = "a\n\tb \x1b[2J \x9b31m \x07 \u200d \u202e caf\u00e9".translate(chat.STEERING)
    assert said == "a\n\tb ·[2J ·31m · \u200d \u202e caf\u00e9"


def test_ctrl_c_where_a_question_is_awaited_ends_it(trained: Path) -> None:
    with terminal(trained) as (screen, pid):
        screen.until("> ")
        screen.type(f"{DATE}\n")
        assert re.search(r"\d{4}-\d\d-\d\d", screen.until("> $"))
        screen.break_off()
        screen.until("nothing more")
        assert ended(pid) == 130
        assert "Traceback" not in screen.seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_that_is_stopped(number: signal.Signals, trained: Path) -> None:
    start = subprocess.Popen(
        command(trained),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert start.stdin
    assert start.stdout
    start.stdin.write(f"{DATE}\n")
    start.stdin.flush()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\n", start.stdout.readline())
    start.send_signal(number)
    _, errors = start.communicate(timeout=PATIENCE)
    assert start.returncode in (130, 128 + number, -number)
    assert errors.strip() == ""
