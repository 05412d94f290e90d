"""What is known of the listen key: when it was last proven to live, and whether the server has ended it. Pure."""

import math


class KnownKey:
    """The listen key that the keeper has.

    Args:
        value: the listen key.
        now: when the key was last proven to live.
        renew: seconds between two wishes for a renewal.
    """

    def __init__(self, value: str, now: float, renew: float) -> None:
        self.value, self.proven_at, self._renew = value, now, renew
        self.ended_at: float | None = None  # when the server said that the key has ended
        self._said: object = None  # which key, and when by the server
        self._renewal_asked_at = self._proof_asked_at = -math.inf
        self._doubted_at = -math.inf  # when the server last refused a connection, perhaps because the key has ended

    def is_other(self, value: str, proven_at: float) -> bool:
        """Whether the keeper has another key, or has proven a key anew that had ended. A new socket is needed then."""
        return value != self.value or (self.ended_at is not None and proven_at > self.ended_at)

    def replace(self, value: str) -> None:
        """Note the keeper's key."""
        self.value, self.ended_at = value, None

    def end(self, now: float, value: str, said: object) -> bool:
        """Note that the server says that a key has ended. False: that is known, or about an older key."""
        message = value, said
        is_copy = message == self._said and (said is not None or self.ended_at is not None)
        if is_copy or value != self.value:
            return False
        self._said, self.ended_at, self._renewal_asked_at = message, now, -math.inf
        return True

    def lose(self, now: float) -> None:
        """Note that the keeper could not renew the key in time."""
        if self.ended_at is None:
            self.ended_at = now

    def prove(self, moment: float) -> None:
        """Note that the key lived at a moment."""
        self.proven_at = max(self.proven_at, moment)

    def doubt(self, now: float) -> None:
        """Note that the server refused something, perhaps because the key has ended."""
        self._doubted_at = now

    @property
    def is_doubted(self) -> bool:
        """Whether the key was not proven since the server refused something."""
        return self.proven_at < self._doubted_at

    # The wishes to the keeper, and when the next wish is due.

    @property
    def renewal_at(self) -> float:
        """When to ask for another key. Infinite while the key has not ended."""
        return math.inf if self.ended_at is None else self._renewal_asked_at + self._renew

    def ask_renewal(self, now: float) -> None:
        """Note that another key is asked for."""
        self._renewal_asked_at = now

    @property
    def proof_at(self) -> float:
        """When to ask for a proof, if one is wanted. Infinite while the key has ended."""
        return self._proof_asked_at + self._renew if self.ended_at is None else math.inf

    def ask_proof(self, now: float) -> None:
        """Note that a proof is asked for."""
        self._proof_asked_at = now

    def want_proof(self) -> None:
        """Let the next proof be asked for at once."""
        self._proof_asked_at = -math.inf
