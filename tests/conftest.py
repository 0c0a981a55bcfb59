"""What many test files share: a generator, engines, the complex step, a browser, the command, no silent skip in CI."""

import functools
import importlib.util
import os
import shutil

import hypothesis
import numpy as np
import pytest

#: Scripts that need other frameworks; their files are read, they are not.
collect_ignore_glob = ["golden/*"]

IN_CI = bool(os.environ.get("CI"))

hypothesis.settings.register_profile(
    "compuerta",
    deadline=None,
    max_examples=20,
    derandomize=IN_CI,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("compuerta")
pytest.register_assert_rewrite(
    "bad_cases", "command_line", "in_browser", "interop_cases", "layer_cases", "native_engine", "planting", "small_runs"
)


# ---- what a tier of tests needs, and is skipped without --------------------------------------------------------------


def _chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser")


def _without(*modules):
    """Which of these modules are not installed."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


@functools.cache
def _missing(tier):
    """What this machine lacks of what a marker's tests need, named."""
    if tier == "browser":
        return _without("playwright", "axe_playwright_python") + (["chromium"] if _chromium() is None else [])
    return _without("nbclient", "nbformat", "ipykernel")


def pytest_configure(config):
    """Where processes share the cores, BLAS takes one thread in each; more would spin while they wait for a core."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)  # what runs without plugins, as the planted faults do, has no such hook
def pytest_xdist_auto_num_workers(config):
    """No other processes where files are named on the command line: to start them takes longer than most files."""
    return None if config.args_source == config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(items):
    """Mark ``browser`` what asks for the browser, through whatever fixture."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_runtest_setup(item):
    for tier in ("browser", "notebook"):
        if item.get_closest_marker(tier) and _missing(tier):
            pytest.skip(f"not here: {', '.join(_missing(tier))}")


# ---- what many tests share -----------------------------------------------------------------------------------------


@pytest.fixture
def rng(request):
    """A generator of its own for each test, seeded by the test's name, so that no test depends on another."""
    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture
def as_before():
    """Leave engine and threads as they were."""
    from compuerta import recurrence

    before, threads = recurrence.engine(), recurrence.num_threads()
    yield
    recurrence.use_engine(before)
    recurrence.set_num_threads(threads)


@pytest.fixture
def numpy_engine(as_before):
    """Run the test on the NumPy engine, which alone takes complex numbers."""
    from compuerta import recurrence

    recurrence.use_engine("numpy")
    return recurrence.active()


@pytest.fixture
def library(as_before):
    """The native library, without which the test fails where CI runs and is skipped elsewhere; the reason is said."""
    from compuerta import recurrence
    from compuerta.recurrence import binding

    why_not = recurrence.why_not_native()
    if why_not is not None:
        (pytest.fail if IN_CI else pytest.skip)(f"no native engine: {why_not}")
    return binding.load()


def pytest_generate_tests(metafunc):
    """Run what asks for ``variant`` on each variant of the native engine that this machine can run."""
    if "variant" in metafunc.fixturenames:
        from native_engine import VARIANTS

        metafunc.parametrize("variant", VARIANTS, indirect=True)


@pytest.fixture
def variant(request, library):
    """The name of one variant, which is the engine during the test."""
    from compuerta import recurrence

    recurrence.use_engine(request.param)
    return request.param


@pytest.fixture(scope="session")
def browser():
    """Chromium; what asks for it is marked ``browser``."""
    from playwright import sync_api

    with sync_api.sync_playwright() as p:
        running = p.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def model():
    """A small language model, which most pages look into; a module may have another of that name."""
    from in_browser import fitted

    return fitted()


@pytest.fixture(scope="module")
def trace(model):
    """What that model computes along a text."""
    from in_browser import TEXT

    return model.trace(TEXT[:200])


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page, ``opened(content, mark="#t=3", **options)``; what erred in it fails the test at its end."""
    from in_browser import Tab

    tabs = []

    def opening(content, mark="", **options):
        tabs.append(Tab(browser, tmp_path, content, **options))
        return tabs[-1].open(mark)

    yield opening
    for tab in tabs:
        tab.close()


def _complex_step(loss, arrays):
    """Return the exact gradient of ``loss(**arrays)`` for every entry of every array.

    ``f(x + εi) = f(x) + εi·f'(x)`` with ε so small that nothing of the second order is left: no difference is taken,
    so no digit is lost (Squire and Trapp 1998).
    """
    epsilon = 1e-30
    values = {name: np.array(array, np.complex128) for name, array in arrays.items()}
    grads = {}
    for name, array in values.items():
        grads[name] = np.zeros(array.shape)
        for at in np.ndindex(array.shape):
            array[at] += epsilon * 1j
            grads[name][at] = loss(**values).imag / epsilon
            array[at] = array[at].real
    return grads


@pytest.fixture(scope="session")
def complex_step():
    return _complex_step


def _assert_same_gradient(got, expected, name):
    """Equal to 1e-9 of the largest entry, of which at least one must not be zero."""
    scale = np.abs(expected).max()
    assert scale > 0, f"{name}: the gradient to compare with is zero everywhere, which would compare nothing"
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * scale, err_msg=name)


@pytest.fixture(scope="session")
def assert_same_gradient():
    return _assert_same_gradient


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def unset(monkeypatch):
    """Nothing is set in the environment that changes what a command says."""
    for name in ("COMPUERTA_LANG", "LC_ALL", "LC_MESSAGES", "LANG", "_COMPUERTA_COMPLETE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys, unset):
    """Run a command; return its exit code, stdout and stderr."""
    from compuerta import cli

    def run(*args):
        code = cli.run([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ok(run):
    """Run a command that must succeed; return stdout and stderr."""

    def ok(*args):
        code, out, err = run(*args)
        assert code == 0, err
        return out, err

    return ok


@pytest.fixture
def refused(run):
    """Run a command that must fail with this code; return its one line."""

    def refused(code, *args):
        got, out, err = run(*args)
        assert (got, out) == (code, ""), (out, err)
        assert err.startswith("Error: ")
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        return err

    return refused


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a text and a table, and a model of each."""
    from command_line import write_models

    return write_models(tmp_path_factory.mktemp("made"))


# ---- in CI nothing may be skipped ---------------------------------------------------------------------------------

_skipped: list[str] = []


def _note(report):
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_runtest_logreport(report):
    _note(report)


def pytest_collectreport(report):
    _note(report)


def pytest_sessionfinish(session, exitstatus):
    if _skipped and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if _skipped:
        terminalreporter.section("skipped, which fails the run because CI is set")
        for name in _skipped:
            terminalreporter.write_line(name)
