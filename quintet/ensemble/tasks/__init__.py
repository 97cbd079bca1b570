"""Fits of members as tasks: for this process, for worker processes, or for a dask cluster."""
