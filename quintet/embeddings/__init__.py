"""Pretrained networks that turn sound into tags and embeddings."""
