"""The exception tree.

```
QuintetError
├── ConfigError         (ValueError)    a setting that cannot be, or contradicts another
├── AudioError          (OSError)       a clip that cannot be used; becomes a row of the failure ledger
│   ├── DecodeError                     the file cannot be read as audio
│   ├── TooShortError                   fewer samples than one frame
│   ├── SilentError                     every sample is zero
│   └── NonFiniteError                  NaN or infinite samples
├── DatasetError        (ValueError)    a source that cannot be listed, or a table without what it must have
├── SplitLeakError      (ValueError)    one group on both sides of a split
├── ArtefactError       (OSError)       a file of ours that is damaged, of another version, or in the way
├── AlignmentError      (ValueError)    tables that do not describe the same clips or classes
└── MissingExtraError   (ImportError)   an optional library that is needed now
```

Every message says what must hold, what was received, and what to do. Each class also inherits the builtin that a caller
would catch. Whatever a program may want to act on hangs on attributes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QuintetError(Exception):
    """The root of every error that Quintet raises on purpose."""


class ConfigError(QuintetError, ValueError):
    """A setting that cannot be, or that contradicts another."""


class AudioError(QuintetError, OSError):
    """A clip that cannot be used. `stage` says where it failed: `decode`, `check` or `describe`."""

    stage = "decode"


class DecodeError(AudioError):
    """The file cannot be read as audio."""


class TooShortError(AudioError):
    """Fewer samples than one analysis frame."""

    stage = "check"


class SilentError(AudioError):
    """Every sample is zero: there is nothing to describe."""

    stage = "check"


class NonFiniteError(AudioError):
    """Samples that are NaN or infinite."""

    stage = "check"


class DatasetError(QuintetError, ValueError):
    """A source that cannot be listed, or a table that lacks what it must have."""


class SplitLeakError(QuintetError, ValueError):
    """One group (track, artist) stands on both sides of a split. `groups` names them."""

    def __init__(self, message: str, groups: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.groups = groups


class ArtefactError(QuintetError, OSError):
    """A file of ours that is missing, damaged, of another version, or in the way."""


class AlignmentError(QuintetError, ValueError):
    """Tables that do not describe the same clips or the same classes."""


class MissingExtraError(QuintetError, ImportError):
    """An optional library is needed. `extra` is the name to install."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs an optional library. Install it with: pip install 'quintet[{extra}]'"
        )
        self.extra = extra


def unknown_name(kind: str, received: str, valid: Iterable[str]) -> ConfigError:
    """The error for a name that is not in a table: it lists the valid names and points at the nearest.

    Example:
        >>> print(unknown_name("member", "svn", ["svm", "xgboost"]))
        A member must be one of: svm, xgboost. Received 'svn'. Did you mean 'svm'?
    """
    names = list(valid)
    near = difflib.get_close_matches(received, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    article = "An" if kind[:1] in "aeiou" else "A"
    return ConfigError(f"{article} {kind} must be one of: {', '.join(names)}. Received '{received}'.{hint}")
