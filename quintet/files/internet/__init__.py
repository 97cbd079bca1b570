"""Addresses on the internet: which ones may be read, and the reader of web addresses."""
