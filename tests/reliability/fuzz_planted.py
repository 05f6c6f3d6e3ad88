"""A fault to be found: the proof that the fuzzer follows what it sees, as chance would need 256^6 inputs."""

from __future__ import annotations


def faulty(data: bytes) -> None:
    """Raises KeyError for one word."""
    if data[:1] != b"p":
        return
    if data[1:2] != b"l":
        return
    if data[2:3] != b"a":
        return
    if data[3:4] != b"n":
        return
    if data[4:5] != b"t":
        return
    if data[5:6] == b"!":
        raise KeyError(data)
