"""Worker processes that read audio files: a crash, a hang or too much memory costs one file, not the run."""
