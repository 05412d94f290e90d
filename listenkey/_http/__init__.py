"""One call to the exchange: from an operation to an answer or an error, over connections that each end at a deadline.

Pure: `answer` (what an answer means). The others move bytes: `route` (base URL, proxy, certificates), `transport` and
`async_network` (connections), `threads` (blocking work beside an event loop), `exchange` (one attempt). The clients
enter here, and the stream for its handshake. This file stays empty: an import of the errors must load no HTTP library.
"""
