"""A test that takes too long is a failure with a name, in every phase, in Hypothesis and in asyncio. All others run."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals: pytest-timeout ends the run, with a stack")
HANGING = {
    "plain": "def test_hanging(): time.sleep(600)",
    "hypothesis": """
@settings(deadline=None, database=None)
@given(st.integers())
def test_hanging(number): time.sleep(600)
""",
    "hypothesis, by and by": """
@settings(deadline=None, database=None, max_examples=10**9)
@given(st.lists(st.integers()))
def test_hanging(numbers): pass
""",
    "hypothesis, while it seeks a smaller example": """
@settings(deadline=None, database=None)
@given(st.integers())
def test_hanging(number):
    if number > 3:
        time.sleep(0.2)
        assert number < 10**5 or number % 7
        time.sleep(600)
""",
    "asyncio": """
def test_hanging():
    async def forever():
        with contextlib.suppress(Exception, pytest.fail.Exception):
            time.sleep(600)
        await asyncio.sleep(600)
    async def main():
        await asyncio.gather(forever(), return_exceptions=True)
        await asyncio.sleep(600)
    asyncio.run(main())
""",
    "setup": """
@pytest.fixture
def slow(): time.sleep(600)
def test_hanging(slow): pass
""",
    "teardown": """
@pytest.fixture
def slow():
    yield
    time.sleep(600)
def test_hanging(slow): pass
""",
}
HEAD = """
import asyncio, contextlib, time
import pytest
from hypothesis import given, settings, strategies as st
def test_before(): pass
def test_after(): pass
"""


@pytest.mark.long
@pytest.mark.parametrize(("hanging", "workers"), [*((hanging, "0") for hanging in HANGING), ("hypothesis", "1")])
def test_it_is_a_failure_with_a_name(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, hanging: str, workers: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    pytester.makeconftest("pytest_plugins = ['tests.time_limit']")
    pytester.makepyfile(HEAD + HANGING[hanging])
    run = pytester.runpytest_subprocess("--timeout", "3", "-n", workers)
    run.assert_outcomes(
        passed=3 if hanging == "teardown" else 2,
        failed=int(hanging not in ("setup", "teardown")),
        errors=int(hanging in ("setup", "teardown")),
    )
    assert "INTERNALERROR" not in run.stdout.str() + run.stderr.str()
    run.stdout.re_match_lines([r".*Timeout \(>3\.0s\)", r"(FAILED|ERROR) .*::test_hanging\b"])


def test_a_report_that_takes_long_ends_nothing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    pytester.makeconftest("""
        import time, pytest
        pytest_plugins = ['tests.time_limit']
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_makereport(item, call):
            time.sleep(1.1 if item.name == "test_failing" and call.when == "call" else 0)
    """)
    pytester.makepyfile("def test_failing(): assert 0\ndef test_after(): pass")
    pytester.runpytest_subprocess("--timeout", "1").assert_outcomes(passed=1, failed=1)


def test_no_example_of_hypothesis_has_a_time_limit_of_its_own() -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
