"""Extension of griffe: examples in docstrings are sections of code, also under the heading `Example:`."""

from __future__ import annotations

import re

from griffe import Extension, Object


class Examples(Extension):
    """Rename the heading, so that griffe reads the doctest below it as code."""

    def on_object(self, *, obj: Object, **kwargs: object) -> None:
        """Rename the heading in the docstring of an object, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)
