"""Recipes, and the run of a whole recipe."""
