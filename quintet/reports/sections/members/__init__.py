"""Sections about the members and how they are joined."""
