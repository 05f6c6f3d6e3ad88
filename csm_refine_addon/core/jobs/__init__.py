"""Refine jobs: state machine, SQLite job store, job runner, worker process and session lookups."""
