"""One call to the exchange: from an operation to an answer or an error, over connections that each end at a deadline.

Pure: `answer` (the meaning of an answer), `faults` (the kind of an error), `masking` (texts of others, without
secrets). Before a call: `addresses` (addresses as people write them) and `route` (the way, by settings and
environment). The other files move bytes: `attempt` (one attempt and its deadline), `tracing` (how far an attempt came),
`network` and `async_network` (connections), `threads` (blocking work beside an event loop), `transport` (kept
connections, under httpx), `outcome` (the answer or the error that an attempt is), `exchange` (calls the generated
client). The clients enter here, the stream for its handshake, and the check. This file has no code: an import of the
errors must load no HTTP library.
"""
