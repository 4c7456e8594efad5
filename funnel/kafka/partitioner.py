"""Which partition a key belongs to, as Kafka's own clients decide it (MurmurHash2, Austin Appleby, seed 0x9747b28c).

The client library's version walks byte by byte and takes 10 us for a lead's id, as long as everything else the relay
does for a record; this one reads words. A property test holds the two equal.
"""

from __future__ import annotations

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
KEYS_REMEMBERED = 65_536


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` in a topic with `partitions` partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@lru_cache(maxsize=KEYS_REMEMBERED)  # the keys of active leads come again and again
def murmur2(key: bytes) -> int:
    """The unsigned 32-bit hash of `key`."""
    length = len(key)
    words = length // 4
    h = _SEED ^ length
    for k in struct.unpack_from(f"<{words}I", key):
        k = k * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if rest := key[words * 4 :]:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15
