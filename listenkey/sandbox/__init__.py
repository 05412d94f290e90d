"""A stand-in for the exchange, on loopback: listen keys with real life and limits, a stream, and faults on demand.

The room is for tests, whatever the language of the tested program. `_accounts` decides what the exchange answers,
`_ledger` knows what an account holds, `_faults` what can go wrong, `_play` reads a recorded day, `_http` and
`_websocket` speak with clients, `_server` owns the sockets and threads.
Users and tests enter here; no other room does. The sandbox shares no code with the client: a shared mistake would agree
with itself. For example:

    with Sandbox(life=2.0) as sandbox:
        client = ListenKeyClient("test-key", base_url=sandbox.url)
        sandbox.faults.add("status", status=503, headers={"Retry-After": "3"})

Programs in other languages start ``listenkey sandbox`` and steer the sandbox over HTTP, at the same address:

- ``GET /``: a page in plain text that says what follows here, and every fault
- ``POST /faults``: a JSON object, ``{"fault": "status", "times": 2, "status": 503}``; 204, or 400 and why
- ``DELETE /faults``: takes back every fault that is still waiting, also those of the stream; 204
- ``POST /expire``: ends every live listen key; 204
- ``POST /events``: sends an event to an account's streams, ``{"event": {"e": …}, "account": "key"}``; 200 and
  ``{"sent": 1}``, to how many connections it was sent, or 400 and why

- ``POST /order``, ``/fill``, ``/cancel``, ``/position``, ``/balance``: what happens to an account, as the methods of
  `Sandbox` with these names; ``/order`` answers ``{"order_id": "…"}``, the others 204

Programs may use and steer the sandbox. Web pages may not, even if a page sends the browser of this machine there.
A request gets 403 and changes nothing if its ``Host`` is not this machine (DNS rebinding), or if its ``Origin`` or
``Sec-Fetch-Site`` is another site's.

The facts of Binance are from pages of the options documentation: "Start User Data Stream", "User Data Streams"
(life, renewal), "General Info" (statuses, weights, the ban of 2 minutes to 3 days), "Error Code" (-1008, -1020, -1102,
-1125, -2014, -2015), "Connect" (the stream's limits and pings), and those that account.yaml names (the answers of a
snapshot). ``Retry-After`` is on the spot pages only. Not documented, and so chosen here: HTML for an unknown path,
-1020 with 405, how many answers of 429 lead to a ban, and how fills change balances and totals.
"""

from listenkey.sandbox._faults import FAULTS, Faults
from listenkey.sandbox._server import Request, Sandbox
from listenkey.sandbox._websocket import Streams

__all__ = ["FAULTS", "Faults", "Request", "Sandbox", "Streams"]
