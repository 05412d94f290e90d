"""For users of pytest, who get it with the package: the fixture `listenkey_sandbox`."""

from collections.abc import Iterator

import pytest

from listenkey.sandbox import Sandbox


@pytest.fixture
def listenkey_sandbox() -> Iterator[Sandbox]:
    """Run a `listenkey.sandbox.Sandbox` for this one test; point the client's base URL at its `url`."""
    with Sandbox() as sandbox:
        yield sandbox
