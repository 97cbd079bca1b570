"""Types of JSON content."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]
"""A JSON object as Python reads it: the values are texts, numbers, booleans, None, lists and objects."""
