"""Every bound of the intake, with its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

EVENT_BYTES_MAX: Final = 64 * 1024
"""One event or outcome. What a browser's sendBeacon can carry; far below the broker's limit for a record."""

BODY_BYTES_MAX: Final = 1024 * 1024
"""One request. A batch that fits is also one batch on the wire to Kafka."""

BATCH_ITEMS_MAX: Final = 1000
"""Events or outcomes in one request: the answer names each of them, and a repeat costs this many at most."""

FAULTS_MAX: Final = 10
"""Faults told of one item. An answer must not be many times as long as its request."""

DEPTH_MAX: Final = 32
"""Nesting of objects and arrays in one event. Real events need five; every reader recurses at most this deep."""

FIELDS_MAX: Final = 1000
"""Named fields in one event, at all levels together. Real events need fifty; readers look at each of them."""

ID_CHARS_MAX: Final = 128
"""event_id and the ids of other systems: part of unique keys, remembered for 90 days."""

TYPE_CHARS_MAX: Final = 128
"""Name of an event type; it is counted and shown."""

EMAIL_CHARS_MAX: Final = 320
"""RFC 3696: 64 before the @ and 255 after it."""

PHONE_CHARS_MAX: Final = 64
"""E.164 has 15 digits; the rest is room for how people write them, with an extension."""

IDENTIFIER_CHARS_MAX: Final = 256
"""Visitor and external ids: indexed in Postgres, where an index entry may have 2,704 bytes."""

EXTERNAL_IDS_MAX: Final = 20
"""Systems that know one person; each becomes a row of the identifier table."""

CLICK_IDS_MAX: Final = 50
"""Click ids on one address; a dozen platforms are known."""

TAGS_MAX: Final = 50
"""Codes on one voice of a customer."""

EMPLOYEES_MAX: Final = 100_000_000
"""Beyond any company; keeps the number inside a Postgres integer."""

EPOCH_MAX: Final = 2_147_483_647
"""A Postgres integer."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A time before it is a client's empty value or a lost digit, never a lead's history."""

PUBLISH_SECONDS_MAX: Final = 3.0
"""How long a client waits for Kafka before its records go to the spool. Longer than any healthy stall."""

SPOOL_SECONDS_MAX: Final = 3.0
"""How long a client waits for the spool before it is told that nothing is known."""

REMEMBER_SECONDS_MAX: Final = 2.0
"""How long a client waits for its Idempotency-Key to be looked up, and later kept, before that is left out."""

RETRY_AFTER_SECONDS: Final = 2
"""What 503 asks clients to wait: the producer gets a new connection to Kafka in that time when there is one."""
