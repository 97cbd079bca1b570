"""Commands about trained models: their stress test, and the clips that would teach them most."""
