"""Before a release: find breaks, run the tests on each Python, name the sources in the wheel."""
