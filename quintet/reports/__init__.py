"""Pages of a training run and of one track. The only package that imports matplotlib."""
