"""The OpenAPI operations of the hot endpoints; what a client may send follows from the schemas of our records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from funnel.schemas import documents
from services.ingest.domain import limits
from services.ingest.domain.batch import Status
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from services.ingest.domain.receipt import DEFAULT_SOURCE

_COMPONENTS: Final = "#/components/schemas/"
_SET_BY_US: Final = ("source", "received_at", "mode")
_GIVEN_BY_US_WHEN_ABSENT: Final = ("event_id", "occurred_at")
_TITLES: Final = {EVENT.name: "ClientEvent", OUTCOME.name: "ClientOutcome"}

_SOURCE: Final = {
    "name": "source",
    "in": "query",
    "description": "Who sends it; an event is identified by its source and its event_id.",
    "schema": {"type": "string", "default": DEFAULT_SOURCE, "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"},
}
_MODE: Final = {
    "name": "mode",
    "in": "query",
    "description": "`history` tells of the past: it counts at `occurred_at` and causes no assignment.",
    "schema": {"type": "string", "enum": ["live", "history"], "default": "live"},
}
_REFUSALS: Final = {
    "400": "Not JSON. Do not send it again as it is.",
    "408": f"The body took longer than {limits.BODY_SECONDS_MAX:g} s to arrive.",
    "413": "Too large; the answer names the limit.",
    "415": "The body is compressed.",
    "422": "A field is not acceptable; `errors` names each. Do not send it again as it is.",
    "503": "Not known to be stored. Send it again with the same event_id, after `Retry-After` seconds.",
}


def schemas() -> dict[str, Any]:
    """The components that the operations refer to."""
    found: dict[str, Any] = {"Taken": _TAKEN, "Results": _RESULTS}
    for kind in (EVENT, OUTCOME):
        document = documents()[kind.dataschema]
        found |= {name: _with_component_refs(part) for name, part in document["$defs"].items()}
        found[_TITLES[kind.name]] = _as_client_sends(document, _TITLES[kind.name])
    return found


def operations() -> dict[str, Mapping[str, Any]]:
    """Path -> the operation of its POST."""
    return {
        "/v1/events": _operation(
            "Take in one event",
            {"application/json": {"schema": _ref(_TITLES[EVENT.name])}},
            _ref("Taken"),
        ),
        "/v1/events/batch": _operation(
            "Take in a batch of events",
            {
                "application/json": {"schema": _batch_of(EVENT)},
                "application/x-ndjson": {"schema": {"type": "string", "description": "One event per line."}},
            },
            _ref("Results"),
        ),
        "/v1/outcomes": _operation(
            "Take in one outcome, or a batch of them",
            {
                "application/json": {"schema": {"anyOf": [_batch_of(OUTCOME), _ref(_TITLES[OUTCOME.name])]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "One outcome per line."}},
            },
            {"anyOf": [_ref("Taken"), _ref("Results")]},
        ),
    }


def _operation(summary: str, content: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    refused = {status: {"description": text, "content": problem} for status, text in _REFUSALS.items()}
    taken = {
        "description": "Stored: every in-sync replica has what is called accepted or duplicate, and only that.",
        "content": {"application/json": {"schema": answer}},
    }
    return {
        "tags": ["intake"],
        "summary": summary,
        "parameters": [_SOURCE, _MODE],
        "requestBody": {"required": True, "content": content},
        "responses": {"202": taken, **refused},
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _COMPONENTS + name}


def _batch_of(kind: Kind) -> dict[str, Any]:
    items = {"type": "array", "minItems": 1, "maxItems": limits.BATCH_ITEMS_MAX, "items": _ref(_TITLES[kind.name])}
    return {"type": "object", "required": [kind.plural], "properties": {kind.plural: items}}


def _as_client_sends(document: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The schema of a stored record, without what ingest itself sets and with less that must be given."""
    ours = {*_SET_BY_US, *_GIVEN_BY_US_WHEN_ABSENT}
    fields = {name: part for name, part in document["properties"].items() if name not in _SET_BY_US}
    client: dict[str, Any] = _with_component_refs(
        {
            "title": title,
            "description": document["description"],
            "type": "object",
            "required": [name for name in document["required"] if name not in ours],
            "properties": fields,
        }
    )
    return client


def _with_component_refs(part: Any) -> Any:
    """`part` with its references into `$defs` turned into references into the components."""
    if isinstance(part, Mapping):
        return {
            name: item.replace("#/$defs/", _COMPONENTS) if name == "$ref" else _with_component_refs(item)
            for name, item in part.items()
        }
    return [_with_component_refs(item) for item in part] if isinstance(part, list) else part


_TAKEN: Final = {
    "type": "object",
    "required": ["event_id", "status"],
    "properties": {
        "event_id": {"type": "string", "description": "The client's id, or ours where it gave none."},
        "status": {"const": Status.ACCEPTED.value},
    },
}
_RESULTS: Final = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "description": "One per item, in the order of the request.",
            "items": {
                "type": "object",
                "required": ["index", "event_id", "status", "detail"],
                "properties": {
                    "index": {"type": "integer"},
                    "event_id": {"type": ["string", "null"]},
                    "status": {"enum": [status.value for status in Status]},
                    "detail": {"type": ["string", "null"], "description": "Why it is not stored."},
                    "errors": {"type": "array", "items": {"type": "object"}, "description": "The unfit fields."},
                },
            },
        }
    },
}
