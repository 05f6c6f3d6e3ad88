"""Judging refined meshes: what scripts/bench_refine.py measures, runs, and shows."""
