"""From the bytes of tokens to text that can be shown at once."""

from __future__ import annotations

import codecs


class TextStream:
    """Joins the pieces of tokens, which may end inside a character, to whole characters.

    Bytes that can never become a character turn into U+FFFD, as `bytes.decode(errors="replace")` would do.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, piece: bytes) -> str:
        """Whatever is complete with this piece; the rest waits for the next one."""
        return self._decoder.decode(piece)

    def flush(self) -> str:
        """What still waits, now that nothing follows; the stream is then as new."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
