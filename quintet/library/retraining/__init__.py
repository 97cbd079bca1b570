"""The owner's genres learnt anew, with the corrections, and what the corrections changed."""
