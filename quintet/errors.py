"""Exceptions of Quintet.

```
QuintetError
├── ConfigError         (ValueError)    a setting that is not valid, or contradicts another
├── AudioError          (OSError)       a clip that cannot be used; it becomes a row of the failure ledger
│   ├── DecodeError                     the file cannot be read as audio
│   ├── TooShortError                   fewer samples than one frame
│   ├── SilentError                     every sample is zero
│   └── NonFiniteError                  NaN or infinite samples
├── DatasetError        (ValueError)    a source that cannot be listed, or a table without required content
├── SplitLeakError      (ValueError)    one group on both sides of a split
├── ArtefactError       (OSError)       a file of Quintet that is missing, damaged or of another version
├── AlignmentError      (ValueError)    tables with different clips or classes
└── MissingExtraError   (ImportError)   an optional library that is not installed
```

Each message has three parts: what must hold, what was received, and what to do. Each class also inherits the
builtin exception that a caller would catch. Data for programs are attributes of the exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QuintetError(Exception):
    """Base class of all errors that Quintet raises on purpose."""


class ConfigError(QuintetError, ValueError):
    """A setting that is not valid, or that contradicts another."""


class AudioError(QuintetError, OSError):
    """A clip that cannot be used. `stage` is where it failed: `decode`, `check` or `describe`."""

    stage = "decode"


class DecodeError(AudioError):
    """The file cannot be read as audio."""


class TooShortError(AudioError):
    """Fewer samples than one analysis frame."""

    stage = "check"


class SilentError(AudioError):
    """Every sample is zero, so no feature is defined."""

    stage = "check"


class NonFiniteError(AudioError):
    """Samples that are NaN or infinite."""

    stage = "check"


class DatasetError(QuintetError, ValueError):
    """A source that cannot be listed, or a table without required content."""


class SplitLeakError(QuintetError, ValueError):
    """A group (track, artist) on both sides of a split.

    Args:
        message: the text of the error.
        groups: names of these groups.
    """

    def __init__(self, message: str, groups: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.groups = groups


class ArtefactError(QuintetError, OSError):
    """A file of Quintet that is missing, damaged or of another version, or a file in the place of output."""


class AlignmentError(QuintetError, ValueError):
    """Tables with different clips or different classes."""


class MissingExtraError(QuintetError, ImportError):
    """An optional library that is not installed.

    Args:
        purpose: subject of the message, for example "A search for settings".
        extra: name of the extra that installs the library.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs an optional library. Install it with: pip install 'quintet[{extra}]'"
        )
        self.extra = extra


def unknown_name(kind: str, received: str, valid: Iterable[str]) -> ConfigError:
    """Error for an unknown name. It lists the valid names and the nearest one.

    Args:
        kind: noun for the name, for example "member".
        received: the unknown name.
        valid: all valid names.

    Example:
        >>> print(unknown_name("member", "svn", ["svm", "xgboost"]))
        A member must be one of: svm, xgboost. Received 'svn'. Did you mean 'svm'?
    """
    names = list(valid)
    article = "An" if kind[:1] in "aeiou" else "A"
    message = f"{article} {kind} must be one of: {', '.join(names)}. Received '{received}'."
    near = difflib.get_close_matches(received, names, n=1, cutoff=0.5)
    if near:
        message += f" Did you mean '{near[0]}'?"
    return ConfigError(message)
