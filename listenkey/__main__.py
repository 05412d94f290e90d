"""`python -m listenkey`."""

from listenkey.cli import main

main()
