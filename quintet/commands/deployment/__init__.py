"""Commands that bring a model to other programs."""
