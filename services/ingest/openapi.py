"""The OpenAPI operations of the hot endpoints; what a client may send follows from the schemas of our records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from funnel.http.protocol import BODY_SECONDS_MAX
from funnel.schemas import documents
from services.ingest.domain import limits
from services.ingest.domain.batch import Status
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from services.ingest.domain.receipt import DEFAULT_SOURCE

_COMPONENTS: Final = "#/components/schemas/"
_SET_BY_US: Final = ("source", "received_at", "mode", "occurred_at_sent")
_GIVEN_BY_US_WHEN_ABSENT: Final = ("event_id", "occurred_at")
_TITLES: Final = {EVENT.name: "ClientEvent", OUTCOME.name: "ClientOutcome"}

_SOURCE: Final = {
    "name": "source",
    "in": "query",
    "description": "Who sends it; an event is identified by its source and its event_id. With a key: the key's source.",
    "schema": {"type": "string", "default": DEFAULT_SOURCE, "pattern": "^([A-Za-z0-9][A-Za-z0-9_.:-]{0,63})?$"},
}
_MODE: Final = {
    "name": "mode",
    "in": "query",
    "description": "`history` tells of the past: it counts at `occurred_at` and assigns nothing. Not for write keys.",
    "schema": {"type": "string", "enum": ["live", "history"], "default": "live"},
}
_KEY: Final = {
    "name": "key",
    "in": "query",
    "description": "A write key, where no header can be set. A secret key is refused here: addresses are logged.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The client's name for this request, kept for 24 hours: a repeat is told the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$"},
}
_FORM: Final = {
    "name": "form",
    "in": "path",
    "required": True,
    "description": "Any name; it stands in the event as `properties.form`.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"},
}
_REFUSALS: Final = {
    "400": "Not JSON, or not what its Content-Encoding says. Do not send it again as it is.",
    "401": "The key is missing, unknown, revoked or expired.",
    "403": "The key may not be used for this, or not from this origin, or its source is inactive.",
    "408": f"The body took longer than {BODY_SECONDS_MAX:g} s to arrive.",
    "409": "A request with the same Idempotency-Key is still at work. Ask again after `Retry-After` seconds.",
    "413": "Too large; the answer names the limit.",
    "415": "The Content-Encoding or the Content-Type is not supported; the answer names those that are.",
    "422": "A field is not acceptable; `errors` names each. Do not send it again as it is.",
    "429": "The source sends more than it may. Send it again after `Retry-After` seconds.",
    "503": "Not known to be stored. Send it again with the same event_id, after `Retry-After` seconds.",
}
_KEYS: Final[list[dict[str, list[str]]]] = [{"key": []}, {}]


def schemas() -> dict[str, Any]:
    """The components that the operations refer to."""
    found: dict[str, Any] = {"Taken": _TAKEN, "Results": _RESULTS}
    for kind in (EVENT, OUTCOME):
        document = documents()[kind.dataschema]
        found |= {name: _with_component_refs(part) for name, part in document["$defs"].items()}
        found[_TITLES[kind.name]] = _as_client_sends(document, _TITLES[kind.name])
    return found


SECURITY_SCHEMES: Final = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A secret key (servers) or a write key (browsers) of a source. Needed unless ingest listens on "
        "a loopback address; forms, beacon and pixel never need one.",
    }
}


def operations() -> dict[str, Mapping[str, Any]]:
    """Path -> the operation of its POST; of its GET for the pixel."""
    batch = {
        "application/json": {"schema": _batch_of(EVENT)},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One event per line."}},
    }
    outcomes = {
        "application/json": {"schema": {"anyOf": [_batch_of(OUTCOME), _ref(_TITLES[OUTCOME.name])]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One outcome per line."}},
    }
    event = {"application/json": {"schema": _ref(_TITLES[EVENT.name])}}
    return {
        "/v1/events": _operation("Take in one event", event, _taken(_ref("Taken"))),
        "/v1/events/batch": _operation("Take in a batch of events", batch, _taken(_ref("Results"))),
        "/v1/outcomes": _operation(
            "Take in one outcome, or a batch of them",
            outcomes,
            _taken({"anyOf": [_ref("Taken"), _ref("Results")]}),
        ),
        "/v1/beacon": _beacon(),
        "/v1/p.gif": _PIXEL,
    }


def form_operations() -> dict[str, dict[str, Mapping[str, Any]]]:
    """Path -> method -> operation, of the forms."""
    fields = {"type": "object", "additionalProperties": {"type": "string"}}
    content = {
        "application/x-www-form-urlencoded": {"schema": fields},
        "multipart/form-data": {"schema": fields},
        "application/json": {"schema": {"anyOf": [fields, _HUBSPOT_FORM]}},
    }
    page = {"text/html": {"schema": {"type": "string"}}}
    taken = {
        "202": {
            "description": "Stored. A script is answered in JSON, a browser that shows the answer with a page.",
            "content": {"application/json": {"schema": _ref("Taken")}, **page},
        },
        "303": {"description": "Stored; the browser is sent on to the allowed page that `_redirect` names."},
    }
    hubspot = {
        "200": {"description": "Stored, as HubSpot says it.", "content": {"application/json": {"schema": _DONE}}}
    }
    operation = _operation("Take in a form", content, {**taken, **hubspot})
    operation["parameters"] = [_FORM, _KEY, _SOURCE, _IDEMPOTENCY_KEY]
    for refused in operation["responses"].values():
        if "application/problem+json" in refused.get("content", {}):
            refused["content"] |= page
    token = {
        "tags": ["intake"],
        "summary": "A signed time of rendering, for the hidden field `_token`",
        "parameters": [_FORM],
        "responses": {
            "200": {
                "description": "A form sent sooner after this than a person can type is put aside as suspect.",
                "content": {"application/json": {"schema": _TOKEN}},
            },
            **_refused("422"),
        },
    }
    paths: dict[str, dict[str, Mapping[str, Any]]] = {
        "/v1/forms/{form}": {"post": operation},
        "/v1/forms/{form}/token": {"get": token},
    }
    portal = {"name": "portal", "in": "path", "required": True, "schema": {"type": "string"}}
    for path in (
        "/submissions/v3/integration/submit/{portal}/{form}",
        "/submissions/v3/integration/secure/submit/{portal}/{form}",
    ):
        like_hubspot = {**operation, "summary": "Take in a form, at HubSpot's own path"}
        like_hubspot["parameters"] = [portal, *operation["parameters"]]
        paths[path] = {"post": like_hubspot}
    return paths


def _operation(summary: str, content: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["intake"],
        "summary": summary,
        "security": _KEYS,
        "parameters": [_SOURCE, _MODE, _IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": content},
        "responses": {**taken, **_refused(*_REFUSALS)},
    }


def _beacon() -> dict[str, Any]:
    """`text/plain`: before it sends JSON to another origin a browser asks, and a page that is left cannot wait."""
    schema = {"type": "string", "description": 'One event as JSON, or {"events": [..]}.'}
    stored = {"204": {"description": "Stored."}}
    operation = _operation("Take in events of a page that is being left", {"text/plain": {"schema": schema}}, stored)
    return operation | {"parameters": [_KEY, _SOURCE, _IDEMPOTENCY_KEY]}


def _taken(answer: Mapping[str, Any]) -> dict[str, Any]:
    description = (
        "Stored: in every in-sync replica, or in the spool while Kafka is away. In a batch only what is called "
    )
    return {
        "202": {
            "description": description + "accepted or duplicate.",
            "content": {"application/json": {"schema": answer}},
        }
    }


def _refused(*statuses: str) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    return {status: {"description": _REFUSALS[status], "content": dict(problem)} for status in statuses}


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
    """`part` as clients see it: references into `$defs` lead into the components, and what is optional may be empty."""
    if isinstance(part, list):
        return [_with_component_refs(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    found = {
        name: item.replace("#/$defs/", _COMPONENTS) if name == "$ref" else _with_component_refs(item)
        for name, item in part.items()
    }
    if part.get("type") == "object" and "properties" in part:
        required = part.get("required", ())
        found["properties"] = {
            name: item if name in required else _or_absent(item) for name, item in found["properties"].items()
        }
    return found


def _or_absent(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """`part`, or one of the two values that mean that there is none."""
    if part.get("type") == ["string", "null"] and not {"format", "pattern", "minLength", "enum"} & part.keys():
        return part
    return {"anyOf": [part, {"enum": ["", None]}]}


_SPOOLED: Final = {
    "const": True,
    "description": "Present while Kafka is away: stored in Postgres, and published as soon as Kafka is back.",
}
_TAKEN: Final = {
    "type": "object",
    "required": ["event_id", "status"],
    "properties": {
        "event_id": {"type": "string", "description": "The client's id, or ours where it gave none."},
        "status": {"const": Status.ACCEPTED.value},
        "spooled": _SPOOLED,
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
                    "spooled": _SPOOLED,
                },
            },
        }
    },
}
_HUBSPOT_FORM: Final = {
    "type": "object",
    "description": "HubSpot's shape of a submission.",
    "required": ["fields"],
    "properties": {
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "value"],
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
            },
        },
        "context": {"type": "object"},
        "legalConsentOptions": {"type": "object"},
    },
}
_DONE: Final = {
    "type": "object",
    "properties": {"inlineMessage": {"type": "string"}, "redirectUri": {"type": "string"}},
}
_TOKEN: Final = {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}
_PIXEL: Final = {
    "tags": ["intake"],
    "summary": "Take in one event by showing an image",
    "security": [{}],
    "parameters": [
        _KEY,
        _SOURCE,
        *(
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in (
                ("type", "Type of the event; page.viewed when absent."),
                (
                    "visitor_id",
                    "Who looks. E-mail addresses and phone numbers are not read here: addresses are logged.",
                ),
                ("external_id", "Who looks, in another system: `system:id`."),
                ("page_url", "The page; the Referer when absent."),
                ("referrer", "Where the visitor came from."),
                ("event_id", "The event's id."),
                ("occurred_at", "When it happened."),
            )
        ),
    ],
    "responses": {
        "200": {
            "description": "Always the image, whatever became of the event: an image cannot show an error.",
            "content": {"image/gif": {"schema": {"type": "string", "contentEncoding": "base64"}}},
        }
    },
}
