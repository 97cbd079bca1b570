"""Which unlabelled clips would teach a model most."""
