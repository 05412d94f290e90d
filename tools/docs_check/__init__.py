"""Compare Binance's documentation with openapi.yaml and asyncapi.yaml: readers, one diff, rows, one lock file."""
