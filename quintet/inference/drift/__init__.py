"""Whether new files as a whole are unlike the training clips."""
