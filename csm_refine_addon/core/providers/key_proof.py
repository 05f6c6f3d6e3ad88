"""Proof that a process has the local service's key: an HMAC over a challenge and the address that it listens at.

A client sends its key only after this proof. The address is part of the message, so that another program on the port
of a service that has ended cannot pass the challenge on to a service that runs on another port.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from ..models import Secret

PATH = "/local/proof"
_CHALLENGE = re.compile(r"[0-9a-f]{64}", re.ASCII)


def new_challenge() -> str:
    """Return 32 random bytes in hexadecimal digits."""
    return secrets.token_hex(32)


def is_challenge(text: str) -> bool:
    """Tell whether a text has the form of a challenge."""
    return bool(_CHALLENGE.fullmatch(text))


def proof(key: Secret, challenge: str, address: str) -> str:
    """Return the proof for a challenge; ``address`` is the base URL, ``http://HOST:PORT`` with a numeric host."""
    message = f"csm-refine-local-service\n{challenge}\n{address}"
    return hmac.new(key.reveal().encode(), message.encode(), hashlib.sha256).hexdigest()


def is_proof(text: str, key: Secret, challenge: str, address: str) -> bool:
    """Tell whether a text is the proof for a challenge, in constant time."""
    return hmac.compare_digest(text.encode(), proof(key, challenge, address).encode())
