"""The programs of `make bench` and `make bench-accounts`."""
