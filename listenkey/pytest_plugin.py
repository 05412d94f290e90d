"""For users of pytest, who get it with the package: the fixture `listenkey_sandbox`.

pytest loads this file in every run of every project. So it loads nothing until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listenkey.sandbox import Sandbox


@pytest.fixture
def listenkey_sandbox() -> Iterator[Sandbox]:
    """Run a `listenkey.sandbox.Sandbox` for this one test; point the client's base URL at its `url`."""
    from listenkey.sandbox import Sandbox

    with Sandbox() as sandbox:
        yield sandbox
