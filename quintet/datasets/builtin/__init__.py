"""Loaders of published datasets, one file each: from the layout on disk to a `Manifest`."""
