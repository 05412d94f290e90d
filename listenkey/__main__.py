"""`python -m listenkey`."""

from listenkey.cli import main

if __name__ == "__main__":
    main()
