"""What stage of a refine a request is at, told from its path and from what came before."""

from __future__ import annotations

import re

from .exchange import Exchange, Stage

_REFINE = re.compile(r"/image-to-3d-sessions/get-3d/refine/([^/]+)")
_SESSION = re.compile(r"/(?:image-to-3d-sessions|v3/sessions)/(SESSION_[^/]+)")


class Stages:
    """Follows each session: a reading before the refine was sent is its baseline, one after it a poll.

    ``expected`` is the stage that the last session's next request will be at, if its client does the usual.
    """

    def __init__(self) -> None:
        self.expected = Stage.BASELINE
        self._sent: set[str] = set()
        self._last = ""

    def of(self, method: str, path: str) -> Stage | None:
        """Return the stage of a request to the API, None where it is none of a refine's."""
        if method == "POST" and _REFINE.fullmatch(path):
            return Stage.POST
        found = _SESSION.fullmatch(path) if method == "GET" else None
        if found is None:
            return None
        self._last = found[1]
        return Stage.POLL if found[1] in self._sent else Stage.BASELINE

    def note(self, exchange: Exchange) -> None:
        """Take in how a request will be answered."""
        status = exchange.answer.status if exchange.answer else 502
        if exchange.stage is Stage.BASELINE:
            self.expected = Stage.POST if status == 200 else Stage.BASELINE
        elif exchange.stage is Stage.POST:
            code = _REFINE.fullmatch(exchange.path)
            says_no = 300 <= status < 500 or status == 503
            is_told = not (exchange.sending.resets or exchange.sending.hangs)
            if says_no and is_told:
                self.expected = Stage.BASELINE
            else:
                self._expect_polls(code[1] if code else "")

    def note_connection(self, stage: Stage | None) -> None:
        """Take in that a connection was reset: a client that was about to send a refine looks for it then."""
        if stage is Stage.POST:
            self._expect_polls(self._last)

    def _expect_polls(self, code: str) -> None:
        self._sent.add(code)
        self.expected = Stage.POLL
