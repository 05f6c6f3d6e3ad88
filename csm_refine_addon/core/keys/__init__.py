"""Where the key comes from, whose a job is, and secrets of our own."""
