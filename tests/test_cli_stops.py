"""A command that is stopped: Ctrl-C, a run that is resumed, a pipe that closes, a disk that is full."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import compuerta
from command_line import TRAIN, parsed, process

pytestmark = pytest.mark.usefixtures("unset")

# ---- Ctrl-C, resume, closed pipes -----------------------------------------------------------------------------------


def wait_for_updates(running):
    """Read stderr until the network is shown, which is right before the first update; then a little longer."""
    for line in running.stderr:
        if "total" in line:
            break
    time.sleep(0.5)


def test_ctrl_c_saves_and_resume_goes_on(here, ok, made, run):
    args = ["train", made / "text.txt", "-o", "m", *TRAIN, "--schedule", "constant", "--seed", 5]
    running = process(*args, "--updates", 1_000_000, cwd=here)
    wait_for_updates(running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "Stopped."
    assert "--resume" in err
    done = compuerta.load(here / "m").report_["updates"]
    assert done >= 1
    assert str(done) in err.replace(",", "")
    assert sorted(os.listdir(here)) == ["m", "m.checkpoint"]
    assert len(compuerta.load(here / "m").generate("la ", 5, seed=0)) == 5

    code, _, err = run(*args[:-1], 6, "--updates", done + 3, "--resume")  # another seed is another run
    assert code == 1
    assert "seed: 5" in err
    assert sorted(os.listdir(here)) == ["m", "m.checkpoint"]

    result = parsed(ok(*args, "--updates", done + 3, "--resume", "--json")[0])
    assert result["updates"] == done + 3
    assert os.listdir(here) == ["m"]
    whole = parsed(ok(*args[:3], "whole", *args[4:], "--updates", done + 3, "--json")[0])
    assert whole["bits_per_char"] == result["bits_per_char"]
    np.testing.assert_array_equal(
        compuerta.load("m").model_.parameters.flat, compuerta.load("whole").model_.parameters.flat
    )


def test_resume_without_a_checkpoint_is_told(here, run, made):
    code, out, err = run("train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 3, "--resume")
    assert (code, out) == (2, "")
    assert "m.checkpoint" in err.splitlines()[-1]


def test_a_checkpoint_that_is_left_is_not_overwritten(here, run, made):
    (here / "m.checkpoint").write_bytes(b"precious")
    code, out, err = run("train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 3)
    assert (code, out) == (2, "")
    assert "--resume" in err
    assert (here / "m.checkpoint").read_bytes() == b"precious"


def test_ctrl_c_in_a_series_stops_the_whole(here, made):
    running = process("train", made / "sales.csv", "-o", "m", "--horizon", 6, cwd=here)
    for line in running.stderr:
        if "72" in line:
            break
    time.sleep(0.7)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert os.listdir(here) == []


@pytest.mark.parametrize("command", ["generate", "info", "forecast"])
def test_closed_stdout_ends_quietly(made, command):
    model = made / ("sales.safetensors" if command == "forecast" else "text.safetensors")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "compuerta", command, model, *(["--csv"] if command == "forecast" else [])],
        stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_disk_that_fills_up_at_the_end_is_told_and_the_old_model_stays(here, run, made, monkeypatch):
    (here / "m").write_text("the old model")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = run("train", made / "text.txt", "-o", "m", *TRAIN, "--updates", 2)
    assert (code, out) == (1, "")
    assert "no space is left on the disk" in err
    assert (here / "m").read_text() == "the old model"
    assert os.listdir(here) == ["m"]
