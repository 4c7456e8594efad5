"""Content-Encoding: a body as it was before the client compressed it, never more of it than was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import zstandard

ENCODINGS: Final = ("gzip", "zstd")
"""What a body may be compressed with; the answer to any other encoding lists them (RFC 9110, 15.5.16)."""

MEMBERS_MAX: Final = 1000
"""Gzip members or zstd frames of one body. Who compresses each line of a batch alone has this many; empty ones are
the only way left to make a small body expensive."""

_ZSTD_WINDOW_MAX: Final = 8 * 1024 * 1024
"""What RFC 9659 lets a sender of `zstd` ask for."""

_GZIP_PIECE: Final = 2048
_ZSTD_PIECE: Final = 64
"""Bytes handed over at once: either grows to 2 MiB at most (deflate to 1,032 times its size, a zstd block of four
bytes to 128 KiB). So a bomb is noticed before it takes more memory than that beyond `most`."""

_GZIP_WRAPPER: Final = 16 + zlib.MAX_WBITS


class UnsupportedEncoding(Exception):
    """A Content-Encoding other than ENCODINGS, or several of them."""


class BrokenEncoding(Exception):
    """The body is not what its Content-Encoding says: damaged, cut off, or followed by something else.

    The message says which, to be put behind "The body".
    """


class TooLarge(Exception):
    """More bytes than the caller takes, decompressed."""


class _Member(Protocol):
    """One gzip member or zstd frame being read; the interface both libraries share."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def decompressed(body: bytes, content_encoding: bytes, most: int) -> bytes:
    """`body` without its Content-Encoding: `most` bytes at most.

    Raises UnsupportedEncoding, BrokenEncoding or TooLarge.
    """
    name = content_encoding.strip().lower()
    if name in (b"", b"identity"):
        if len(body) > most:
            raise TooLarge
        return body
    if name not in _READERS:
        raise UnsupportedEncoding
    size, pieces = 0, []
    for piece in _READERS[name](body):
        size += len(piece)
        if size > most:
            raise TooLarge
        pieces.append(piece)
    return b"".join(pieces)


def _from_gzip(body: bytes) -> Iterator[bytes]:
    return _members(body, _GZIP_PIECE, lambda: zlib.decompressobj(_GZIP_WRAPPER))


def _from_zstd(body: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
    return _members(body, _ZSTD_PIECE, lambda: decompressor.decompressobj(write_size=16 * 1024))


_READERS: Final[Mapping[bytes, Callable[[bytes], Iterator[bytes]]]] = {
    b"gzip": _from_gzip,
    b"x-gzip": _from_gzip,  # the same, says RFC 9110
    b"zstd": _from_zstd,
}


def _members(body: bytes, piece_size: int, begin: Callable[[], _Member]) -> Iterator[bytes]:
    """What the members that make up `body` hold, piece by piece; all of `body` has to be members, and whole ones."""
    begun, member = 0, None
    for start in range(0, len(body), piece_size):
        piece = body[start : start + piece_size]
        while piece:
            if member is None:
                if begun == MEMBERS_MAX:
                    raise BrokenEncoding(f"is compressed in more than {MEMBERS_MAX} parts")
                begun, member = begun + 1, begin()
            yield _read(member, piece)
            piece = member.unused_data
            if member.eof:
                member = None
    if member is not None or not begun:
        raise BrokenEncoding("ends before its compressed data does")


def _read(member: _Member, piece: bytes) -> bytes:
    try:
        return member.decompress(piece)
    except (zlib.error, zstandard.ZstdError):
        raise BrokenEncoding("is not compressed as its Content-Encoding says") from None
