"""The command line's rooms: what each command does, what all of them need, and what they say."""
