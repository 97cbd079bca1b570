"""Explanations of members that read spectrograms: occlusion, Grad-CAM and embeddings."""
