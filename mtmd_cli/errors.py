"""The errors that a user can cause, each with a way out.

MtmdError
├── UsageError           exit 2: flags, prompt or images that contradict each other
│   └── ContextFull      the prompt and the answer do not fit in the context
├── FileError            exit 3: a file that is not what it should be
│   ├── GGUFError        not a GGUF file, or a damaged one
│   └── ImageError       not an image, or a damaged one
├── UnsupportedModel     exit 4: a sound file that this program cannot run
└── OutOfMemory          exit 5: the device has no room
"""

from __future__ import annotations


class MtmdError(Exception):
    """What was found and expected (`message`), and what the user can do about it (`hint`)."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MtmdError):
    """The request contradicts itself or the model."""

    exit_code = 2


class ContextFull(UsageError):
    """The prompt is longer than the context."""


class FileError(MtmdError):
    """A file is missing, unreadable or not what it should be."""

    exit_code = 3


class GGUFError(FileError):
    """The file is not GGUF, or its contents cannot be true."""


class ImageError(FileError):
    """The file is not an image, or it is damaged or too large."""


class UnsupportedModel(MtmdError):
    """The file is sound, but its architecture, projector or tensors are not known here."""

    exit_code = 4


class OutOfMemory(MtmdError):
    """The device has no room for the weights, the cache or the activations."""

    exit_code = 5
