"""Commands for pretrained networks."""
