"""One call to the exchange: from an operation to an answer or an error, over connections that each end at a deadline.

Pure: `answer` (what an answer means), `faults` (what kind an error is), `masking` (what may be said of other people's
texts), `addresses` (what people write). The others move bytes: `route` (the way, by settings and environment),
`attempt` (one attempt and its deadline), `network` and `async_network` (connections), `threads` (blocking work beside
an event loop), `transport` (kept connections, under httpx), `outcome` (the answer or the error that an attempt is),
`exchange` (the generated client, called). The clients enter here, and the stream for its handshake. This file stays
empty: an import of the errors must load no HTTP library.
"""
