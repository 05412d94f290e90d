"""The fixture `listenkey_sandbox`, for users of pytest.

pytest loads this file in every run of every project. So this file loads nothing until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listenkey.sandbox import Sandbox


@pytest.fixture
def listenkey_sandbox() -> Iterator[Sandbox]:
    """Run a `listenkey.sandbox.Sandbox` for this test alone. The client's base URL is the sandbox's `url`."""
    from listenkey.sandbox import Sandbox

    with Sandbox() as sandbox:
        yield sandbox
