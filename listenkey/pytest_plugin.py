"""The fixture `listenkey_sandbox` and its marker, for users of pytest.

pytest loads this file in every run of every project. So this file loads nothing until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from listenkey.sandbox import Sandbox

_MARKER = "listenkey_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for ``--strict-markers`` and ``pytest --markers``."""
    text = "the options of the fixture listenkey_sandbox: those of listenkey.sandbox.Sandbox, such as life=2.0"
    config.addinivalue_line("markers", f"{_MARKER}(**options): {text}")


@pytest.fixture
def listenkey_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Run a `listenkey.sandbox.Sandbox` for this test alone. The client's base URL is the sandbox's `url`.

    The marker ``@pytest.mark.listenkey_sandbox(life=2.0)`` gives the sandbox options. Markers of the test, its class
    and its module count together; if two give the same option, the nearest counts.
    """
    from inspect import signature

    from listenkey.sandbox import Sandbox

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers(_MARKER))):
        if marker.args:
            pytest.fail(f"The marker {_MARKER} takes options by name alone, such as life=2.0.", pytrace=False)
        options |= marker.kwargs
    known = signature(Sandbox).parameters
    for option in options.keys() - known.keys():
        pytest.fail(f"The marker {_MARKER} has no option {option!r}; it has: {', '.join(known)}.", pytrace=False)
    try:
        sandbox = Sandbox(**options)
    except (TypeError, ValueError) as error:
        pytest.fail(f"The marker {_MARKER}: {error}", pytrace=False)
    with sandbox:
        yield sandbox
