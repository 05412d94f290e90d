"""One call to the exchange: from an operation to an answer or an error, over connections that each end at a deadline.

Pure: `answer` (what an answer means), `faults` (what kind an error is), `masking` (what may be said of other people's
texts). Before a call: `addresses` (what people write) and `route` (the way, by settings and environment). The others
move bytes: `attempt` (one attempt and its deadline), `network` and `async_network` (connections), `threads` (blocking
work beside an event loop), `transport` (kept connections, under httpx), `outcome` (the answer or the error that an
attempt is), `exchange` (calls the generated client). The clients enter here, and the stream for its handshake. This
file stays empty: an import of the errors must load no HTTP library.
"""
