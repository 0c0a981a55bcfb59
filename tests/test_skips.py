"""Skipped is not passed: with CI set, a skipped test fails the run, in one process or several (see conftest.py)."""

import os
import shutil
from pathlib import Path

import pytest

import forked_pytest


@pytest.mark.parametrize(("ci", "processes"), [(False, 0), (True, 0), (True, 2)])
def test_in_ci_a_skipped_test_fails_the_run(tmp_path, ci, processes):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest\ndef test_green(): pass\n@pytest.mark.skip\ndef test_lost(): pass\n"
    )
    (tmp_path / "test_all.py").write_text("import pytest\npytest.skip(allow_module_level=True)\n")
    env = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith("PYTEST")} | (
        {"CI": "1"} if ci else {}
    )
    code, said = forked_pytest.run(
        env, "-q", "-n", str(processes), "--dist", "worksteal", "--rootdir", str(tmp_path), str(tmp_path)
    )
    assert code == (1 if ci else 0), said
    assert ("which fails the run" in said) == ci
    assert ("test_one.py::test_lost" in said) == ci
    assert ("test_all.py\n" in said) == ci
