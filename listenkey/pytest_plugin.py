"""For users of pytest, who get it with the package: the fixture `listenkey_sandbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listenkey.sandbox import Sandbox


@pytest.fixture
def listenkey_sandbox() -> Iterator[Sandbox]:
    """Run a `listenkey.sandbox.Sandbox` for this one test; point the client's base URL at its `url`."""
    from listenkey.sandbox import Sandbox  # here, so that test runs without the fixture do not pay for the import

    with Sandbox() as sandbox:
        yield sandbox
