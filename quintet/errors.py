"""Exceptions of Quintet.

```
QuintetError
├── ConfigError         (ValueError)    a setting that is not valid, or contradicts another
├── AudioError          (OSError)       a clip that cannot be used
│   ├── DecodeError                     the file cannot be read as audio
│   ├── TooShortError                   fewer samples than one analysis frame
│   ├── SilentError                     every sample is zero
│   └── NonFiniteError                  NaN or infinite samples
├── DatasetError        (ValueError)    clips that cannot be found, or a table that lacks what is needed
├── SplitLeakError      (ValueError)    one group on both sides of a split
├── ArtefactError       (OSError)       an output that is missing, damaged, of another version or in the way
├── AlignmentError      (ValueError)    tables with different clips or classes
├── MachineError        (OSError)       a full disk, too little memory, too many open files
└── MissingExtraError   (ImportError)   an optional library that is not installed
```

Each message has three parts: what must hold, what was received, and what to do. Each class also inherits the
builtin exception in brackets, so `except ValueError` catches a ConfigError too. Values that a program may
need (for example the groups of a SplitLeakError) are attributes of the exception.

The extraction of features does not stop at an AudioError. It writes the clip and the reason into the *failure
ledger*: the rows of a feature table that have no features.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Self

DISTRIBUTION = "quintet-music"  # what pip knows the package by


class QuintetError(Exception):
    """Base class of the errors that Quintet raises about settings, data and files."""


class ConfigError(QuintetError, ValueError):
    """A setting that is not valid, or that contradicts another."""


class AudioError(QuintetError, OSError):
    """A clip that cannot be used.

    Attributes:
        stage: step that failed: `decode` (the file is read) or `check` (the samples are checked). The failure
            ledger has a third one, `describe` (features are computed).
    """

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
    """A source (folder, list, table) whose clips cannot be found, or a table that lacks what is needed."""


class SplitLeakError(QuintetError, ValueError):
    """A group (for example an artist) that has clips on both sides of a split.

    Args:
        message: the text of the error.
        groups: names of all such groups.
    """

    def __init__(self, message: str, groups: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.groups = groups


class ArtefactError(QuintetError, OSError):
    """An output of Quintet that is missing, damaged or of another version.

    Also raised if other files are already where an output shall be written.
    """


class AlignmentError(QuintetError, ValueError):
    """Tables with different clips or different classes."""


class MachineError(QuintetError, OSError):
    """A fault of the machine: a full disk, too little memory, too many open files, a broken installation.

    It ends the extraction of features, because no clip caused it. Finished work is kept.
    """


class TruncationWarning(UserWarning):
    """Recordings are cut short. They are used as far as they go."""


MORE_INSTALLS = {"datasets": " && pip install --no-deps mirdata"}
"""Extra → what follows its installation. mirdata asks for libraries that it does not import, and that replace
others by older versions."""


def install_command(extra: str) -> str:
    """Command that installs an extra of the distribution.

    The distribution is called `quintet-music`: the name `quintet` belongs to another project on the package
    index. Where Quintet is installed from a checkout or a wheel, pip adds the libraries of the extra to it.

    Args:
        extra: name of the extra.

    Example:
        >>> install_command("codecs")
        "pip install 'quintet-music[codecs]'"
        >>> install_command("datasets")
        "pip install 'quintet-music[datasets]' && pip install --no-deps mirdata"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'{MORE_INSTALLS.get(extra, '')}"


class MissingExtraError(QuintetError, ImportError):
    """An optional library that is not installed.

    Args:
        purpose: what needs the library: the subject of the message, for example "A search for settings".
        extra: name of the extra of the distribution `quintet-music` that installs the library.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional library. Install it with: {install_command(extra)}")
        self.purpose, self.extra = purpose, extra

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        """What a copy in another process is made from. The base class would pass the message alone."""
        return type(self), (self.purpose, self.extra)


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
