"""Datasets: sources become manifests, and manifests become splits."""
