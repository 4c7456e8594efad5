"""Every bound of a form, with its reason."""

from __future__ import annotations

from typing import Final

FORM_BYTES_MAX: Final = 1024 * 1024
"""One post. Room for a small file beside the fields, of which only name and size are kept."""

TEXT_BYTES_MAX: Final = 256 * 1024
"""All names and texts of one form. A message of 20,000 Japanese characters is 60 KiB; nobody types four of them."""

EVENT_BYTES_MAX: Final = 2 * TEXT_BYTES_MAX + 64 * 1024
"""The event of one form, which holds what was typed twice: as typed, and in the fields it was found to fill. Well
below what the broker takes."""

FIELDS_MAX: Final = 900
"""Fields of one form; with them an event stays within its own bound of 1,000 names."""

NAME_CHARS_MAX: Final = 256
"""Name of a field: written by whoever made the page, never by the person who fills it in."""

TOKEN_SECONDS_MAX: Final = 7 * 24 * 3600
"""Age of a render token. Pages stay open over a week-end; a token that is older was collected."""

TURNSTILE_CHARS_MAX: Final = 2048
"""A Turnstile response, by Cloudflare's own word."""
