"""Before a release: what breaks, on which Pythons the tests pass, and what goes into the wheel."""
