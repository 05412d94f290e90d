"""What Binance counts for each address: the wait after a 429 or 418, turns to send, openings of streams, used weight.

Pure: `wait`, `turns` and `openings` are told the time. `shared` has one Address for all who use the same way to an
exchange. The clients count here; keepers and streams ask for their turn.
"""
