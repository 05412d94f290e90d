"""What `make bench` and `make bench-accounts` run."""
