"""The source `development`, with which to try things on the embedded stack, and where its keys are kept.

The database has only hashes of keys, so they are kept in the home, readable by its owner only.
"""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from funnel.cli.asking import Refused, ask
from funnel.embedded.errors import explain_os_errors
from funnel.embedded.home import Home
from funnel.settings import Settings

NAME: Final = "development"
_NEW: Final = {
    "name": NAME,
    "origins": ["*"],
    "redirects": ["http://localhost/", "http://127.0.0.1/", "https://localhost/", "https://127.0.0.1/"],
}
_KINDS: Final = ("write", "secret")
_NOT_FOUND: Final = 404


class DevelopmentKey(msgspec.Struct, frozen=True):
    """A key, and the id by which the source knows it."""

    id: str
    key: str


DevelopmentKeys = dict[str, DevelopmentKey]
"""The key of each kind: `write` and `secret`."""


def development_keys(settings: Settings, home: Home) -> DevelopmentKeys:
    """The keys of the source `development`; it is made when it is not there, and keys anew when theirs are lost.

    Raises FunnelError when ingest does not answer or refuses.
    """
    try:
        source = ask(settings, "ingest", "GET", f"/v1/sources/{NAME}")
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
        return _kept(home, _made(settings))
    live = {key["id"] for key in source["keys"]}
    known = _read(home)
    good = {kind: key for kind, key in known.items() if key.id in live}
    if good.keys() == set(_KINDS):
        return good
    # Nobody can know the old ones any more, or they were revoked: they end at once.
    return _kept(home, good | {kind: _rotated(settings, kind) for kind in _KINDS if kind not in good})


def _made(settings: Settings) -> DevelopmentKeys:
    added = ask(settings, "ingest", "POST", "/v1/sources", _NEW)
    ids = {key["kind"]: key["id"] for key in added["keys"]}
    return {kind: DevelopmentKey(ids[kind], added[f"{kind}_key"]) for kind in _KINDS}


def _rotated(settings: Settings, kind: str) -> DevelopmentKey:
    body: dict[str, Any] = {"kind": kind, "expires_old_after": 0}
    made = ask(settings, "ingest", "POST", f"/v1/sources/{NAME}/keys", body)
    return DevelopmentKey(made["id"], made["key"])


def _read(home: Home) -> DevelopmentKeys:
    """The keys kept in the home; none when there is no file or it cannot be understood."""
    try:
        return msgspec.json.decode(home.development_keys_file.read_bytes(), type=DevelopmentKeys)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _kept(home: Home, keys: DevelopmentKeys) -> DevelopmentKeys:
    """Write the keys down in one step."""
    path = home.development_keys_file
    with explain_os_errors("keeping the keys of the source development", path):
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)  # else it would keep the permissions that it has
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(keys)))
        draft.replace(path)
    return keys
