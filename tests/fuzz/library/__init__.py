"""Fuzzing of what the library reads: its folder, plans, journals, genre maps, tags of songs."""
