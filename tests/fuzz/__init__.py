"""Fuzzing that stays: readers of strangers' files against mutated files (`python -m tests.fuzz`)."""
