"""Compressed bodies: what comes out is what went in, whole or not at all, and a bomb costs next to nothing."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.encodings import (
    MEMBERS_MAX,
    BrokenEncoding,
    TooLarge,
    UnsupportedEncoding,
    decompressed,
)

MOST = 1024 * 1024
COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"zstd": zstandard.compress}

encodings = st.sampled_from(sorted(COMPRESS))
texts = st.binary(max_size=5000) | st.builds(
    lambda text, times: text * times, st.binary(max_size=50), st.integers(0, 5000)
)


@given(encodings, st.lists(texts, min_size=1, max_size=5))
def test_several_members_are_read_as_one_body(encoding: bytes, parts: list[bytes]) -> None:
    body = b"".join(map(COMPRESS[encoding], parts))
    assert decompressed(body, encoding, MOST) == b"".join(parts)


@given(encodings, texts, st.data())
def test_a_body_cut_off_anywhere_is_refused(encoding: bytes, text: bytes, data: st.DataObject) -> None:
    body = COMPRESS[encoding](text)
    with pytest.raises(BrokenEncoding):
        decompressed(body[: data.draw(st.integers(0, len(body) - 1))], encoding, MOST)


@given(encodings, texts, st.binary(min_size=1, max_size=200))
def test_anything_behind_the_last_member_is_refused(encoding: bytes, text: bytes, more: bytes) -> None:
    with pytest.raises(BrokenEncoding):
        decompressed(COMPRESS[encoding](text) + more, encoding, MOST)


@given(encodings, st.binary(max_size=3000))
def test_what_is_not_compressed_is_refused(encoding: bytes, body: bytes) -> None:
    with pytest.raises(BrokenEncoding):
        decompressed(body, encoding, MOST)


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_a_flipped_bit_is_noticed(encoding: bytes) -> None:
    with_checksum = zstandard.ZstdCompressor(write_checksum=True)
    body = bytearray(gzip.compress(b"text" * 100) if encoding == b"gzip" else with_checksum.compress(b"text" * 100))
    body[-5] ^= 1
    with pytest.raises(BrokenEncoding):
        decompressed(bytes(body), encoding, MOST)


@pytest.mark.parametrize("encoding", [b"", b"identity", b"Identity ", b"gzip", b" GZIP", b"x-gzip", b"zstd", b"ZStd"])
def test_the_limit_is_exact_for_every_encoding(encoding: bytes) -> None:
    compress = COMPRESS.get(encoding.strip().lower().removeprefix(b"x-"), bytes)
    assert decompressed(compress(b"x" * 1000), encoding, 1000) == b"x" * 1000
    with pytest.raises(TooLarge):
        decompressed(compress(b"x" * 1001), encoding, 1000)


@pytest.mark.parametrize("encoding", [b"deflate", b"br", b"compress", b"gzip, gzip", b"gzip, zstd", b"*", b"\xff"])
def test_other_encodings_and_several_at_once_are_not_supported(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        decompressed(zlib.compress(b"text"), encoding, MOST)


def test_a_zstd_frame_without_its_length_and_one_to_skip_are_read() -> None:
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(b"text")
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert decompressed(streamed + skippable + streamed, b"zstd", MOST) == b"texttext"


def test_a_zstd_frame_that_wants_a_huge_window_is_refused() -> None:
    def frame(window_log: int) -> bytes:
        parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return compressor.compress(b"text") + compressor.flush()

    assert decompressed(frame(23), b"zstd", MOST) == b"text"
    with pytest.raises(BrokenEncoding):
        decompressed(frame(24), b"zstd", MOST)


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_members_are_counted_since_empty_ones_cost_time(encoding: bytes) -> None:
    empty = COMPRESS[encoding](b"")
    assert decompressed(empty * MEMBERS_MAX, encoding, MOST) == b""
    with pytest.raises(BrokenEncoding):
        decompressed(empty * (MEMBERS_MAX + 1), encoding, MOST)


def gzip_bomb() -> bytes:
    """10 GiB of zeros in one gzip member of 10 MB, but for its end."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = compressor.compress(bytes(64 * 2**20)) + compressor.flush(zlib.Z_FULL_FLUSH)  # may be repeated
    return gzip.compress(b"")[:10] + block * 160


def zstd_bomb() -> bytes:
    """10 GiB of zeros in one zstd frame of 320 KiB, but for its end: blocks that say "128 KiB of this byte"."""
    block = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd" + b"\x00\x50" + block * (10 * 2**30 // (128 * 1024))


@pytest.mark.parametrize(("bomb", "encoding"), [(gzip_bomb, "gzip"), (zstd_bomb, "zstd")])
def test_a_bomb_takes_little_more_memory_than_the_limit(bomb: Callable[[], bytes], encoding: str) -> None:
    """Measured from outside Python, as the libraries allocate on their own."""
    program = f"""
import resource, sys
from services.ingest.domain.encodings import TooLarge, decompressed
body = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decompressed(body, b"{encoding}", {MOST})
except TooLarge:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ran = subprocess.run([sys.executable, "-c", program], input=bomb(), capture_output=True, check=True)
    assert int(ran.stdout) * 1024 < 5 * MOST
