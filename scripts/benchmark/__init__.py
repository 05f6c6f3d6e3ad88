"""The measurements of scripts/bench.py, one file each, and what they share.

Each file has two halves: `measure` runs in the bench and starts the file again as a program, as often as it wants a
sample; that program measures once, in a process of its own, and says what it saw as one line of JSON.
"""
