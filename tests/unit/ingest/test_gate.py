"""Who the gate lets in, as whom, and what it tells the others."""

from __future__ import annotations

import pytest

from funnel.http import HttpProblem
from services.ingest.domain.access import EMPTY, ORIGIN, UNKNOWN_KEY, Use
from services.ingest.domain.receipt import Parameters
from services.ingest.domain.source import KeyKind, Source
from tests.unit.ingest.given_sources import (
    PAGE,
    SECRET_KEY,
    SHOP,
    WRITE_KEY,
    Door,
    FixedBooks,
    a_key,
    book,
    held,
)

STRANGER = "https://elsewhere.example"
PUBLIC = (Use.FORM, Use.BEACON, Use.PIXEL)
CLOSED = (Use.EVENTS, Use.OUTCOMES)


def refused(found: pytest.ExceptionInfo[HttpProblem], status: int, slug: str) -> HttpProblem:
    assert (found.value.status, found.value.slug) == (status, slug)
    return found.value


# -- without a key ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", Use)
def test_where_no_key_is_required_everybody_is_let_in_as_whom_they_say(use: Use) -> None:
    door = Door(keys_required=False)
    assert door.admit(use).source.name == "default"
    assert door.admit(use, Parameters("crm")).source.name == "crm"
    caller = door.admit(use, Parameters("shop", "history"))
    assert (caller.source, caller.mode, caller.key_kind) == (SHOP, "history", None)


@pytest.mark.parametrize("use", CLOSED)
def test_where_keys_are_required_events_and_outcomes_need_one(use: Use) -> None:
    with pytest.raises(HttpProblem) as found:
        Door().admit(use)
    problem = refused(found, 401, "key-required")
    assert (problem.headers or {})["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("use", PUBLIC)
def test_forms_beacon_and_pixel_need_no_key_anywhere(use: Use) -> None:
    assert Door().admit(use).source.name == "default"


@pytest.mark.parametrize("use", PUBLIC)
def test_without_a_key_nobody_sends_in_the_name_of_a_source_where_keys_are_required(use: Use) -> None:
    assert Door().admit(use, Parameters("shop")).source.name == "default"


@pytest.mark.parametrize("use", PUBLIC)
def test_nobody_tells_the_past_without_a_key_where_keys_are_required(use: Use) -> None:
    with pytest.raises(HttpProblem) as found:
        Door().admit(use, Parameters(mode="history"))
    refused(found, 401, "key-required")


def test_the_default_source_can_be_set_up_like_any_other() -> None:
    default = Source("default", honeypot="nickname")
    assert Door(FixedBooks(book(default))).admit(Use.FORM).source == default


def test_an_inactive_source_is_refused_without_a_key_too() -> None:
    door = Door(FixedBooks(book(Source("shop", active=False))), keys_required=False)
    with pytest.raises(HttpProblem) as found:
        door.admit(Use.EVENTS, Parameters("shop"))
    refused(found, 403, "source-inactive")


def test_whoever_needs_no_key_is_let_in_while_no_key_is_known() -> None:
    nothing = FixedBooks(EMPTY, loaded=False)
    assert Door(nothing).admit(Use.FORM).source.name == "default"
    assert Door(nothing, keys_required=False).admit(Use.OUTCOMES, Parameters("crm")).source.name == "crm"


# -- with a key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", Use)
@pytest.mark.parametrize("keys_required", [True, False])
def test_a_secret_key_may_do_everything_in_the_name_of_its_source(use: Use, keys_required: bool) -> None:
    caller = Door(keys_required=keys_required).admit(use, Parameters(mode="history"), key=SECRET_KEY)
    assert (caller.source, caller.mode, caller.key_kind) == (SHOP, "history", KeyKind.SECRET)


@pytest.mark.parametrize("use", [Use.EVENTS, *PUBLIC])
def test_a_write_key_may_send_what_happens_now(use: Use) -> None:
    assert Door().admit(use, key=WRITE_KEY).key_kind is KeyKind.WRITE
    assert Door().admit(use, Parameters(key=WRITE_KEY)).source == SHOP


@pytest.mark.parametrize(
    ("use", "parameters"), [(Use.OUTCOMES, Parameters()), *((use, Parameters(mode="history")) for use in Use)]
)
@pytest.mark.parametrize("keys_required", [True, False])
def test_a_write_key_may_do_nothing_else(use: Use, parameters: Parameters, keys_required: bool) -> None:
    with pytest.raises(HttpProblem) as found:
        Door(keys_required=keys_required).admit(use, parameters, key=WRITE_KEY)
    refused(found, 403, "key-not-allowed")


@pytest.mark.parametrize(
    "key", ["", "guess", a_key(KeyKind.SECRET, 7), a_key(KeyKind.WRITE, 7), WRITE_KEY[:-1], "ключ"]
)
@pytest.mark.parametrize("use", [use for use in Use if use is not Use.FORM])
@pytest.mark.parametrize("keys_required", [True, False])
def test_an_unknown_key_is_refused_everywhere_but_at_forms(key: str, use: Use, keys_required: bool) -> None:
    with pytest.raises(HttpProblem) as found:
        Door(keys_required=keys_required).admit(use, key=key)
    problem = refused(found, 401, "unknown-key")
    assert not key or key not in problem.detail


@pytest.mark.parametrize("key", [SECRET_KEY, a_key(KeyKind.SECRET, 7)])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_secret_key_in_the_url_is_refused_with_the_reason(key: str, loaded: bool) -> None:
    with pytest.raises(HttpProblem) as found:
        Door(FixedBooks(loaded=loaded)).admit(Use.EVENTS, Parameters(key=key), key=SECRET_KEY)
    problem = refused(found, 401, "secret-key-in-url")
    assert "URL" in problem.detail
    assert key not in problem.detail


def test_the_key_of_the_header_goes_before_the_one_in_the_url() -> None:
    assert Door().admit(Use.OUTCOMES, Parameters(key=WRITE_KEY), key=SECRET_KEY).key_kind is KeyKind.SECRET


def test_credentials_for_somebody_else_are_no_key() -> None:
    caller = Door().gate.admit(Use.FORM, Parameters(key=WRITE_KEY), b"Basic dXNlcjpwYXNz", None)
    assert caller.key_kind is KeyKind.WRITE


@pytest.mark.parametrize("use", CLOSED)
@pytest.mark.parametrize("header", [b"Basic dXNlcjpwYXNz", SECRET_KEY.encode()])
def test_a_server_that_sends_its_key_in_another_way_is_told_so(use: Use, header: bytes) -> None:
    """Taken without it, its events would count for another source, and the mistake would first show in production."""
    with pytest.raises(HttpProblem) as found:
        Door(keys_required=False).gate.admit(use, Parameters(), header, None)
    assert "Bearer" in refused(found, 401, "unknown-key").detail


def test_a_source_named_beside_a_key_must_be_the_keys() -> None:
    assert Door().admit(Use.EVENTS, Parameters("shop"), key=SECRET_KEY).source == SHOP
    with pytest.raises(HttpProblem) as found:
        Door().admit(Use.EVENTS, Parameters("crm"), key=SECRET_KEY)
    problem = refused(found, 422, "invalid-parameters")
    assert problem.errors[0]["parameter"] == "source"


def test_a_key_of_an_inactive_source_is_refused() -> None:
    with pytest.raises(HttpProblem) as found:
        Door(FixedBooks(book(Source("shop", active=False)))).admit(key=SECRET_KEY)
    refused(found, 403, "source-inactive")


def test_a_key_ends_when_its_time_is_over() -> None:
    door = Door(FixedBooks(book(SHOP, keys=[held(SECRET_KEY, "shop", until=1060.0)])))
    door.watch.now = 1059.9
    assert door.admit(key=SECRET_KEY).source == SHOP
    door.watch.now = 1060.0
    with pytest.raises(HttpProblem) as found:
        door.admit(key=SECRET_KEY)
    refused(found, 401, "unknown-key")


def test_two_keys_of_a_kind_are_good_at_once() -> None:
    keys = [a_key(KeyKind.SECRET, 1), a_key(KeyKind.SECRET, 2)]
    door = Door(FixedBooks(book(SHOP, keys=[held(key, "shop") for key in keys])))
    assert {door.admit(key=key).source for key in keys} == {SHOP}


def test_while_no_key_was_read_yet_a_sender_is_told_to_wait_and_not_that_its_key_is_bad() -> None:
    with pytest.raises(HttpProblem) as found:
        Door(FixedBooks(EMPTY, loaded=False)).admit(key=SECRET_KEY)
    problem = refused(found, 503, "keys-not-loaded")
    assert int((problem.headers or {})["Retry-After"]) > 0


@pytest.mark.parametrize("books", [FixedBooks(), FixedBooks(EMPTY, loaded=False)])
def test_a_form_with_a_key_that_is_not_known_is_taken_and_doubted(books: FixedBooks) -> None:
    """Its page may bring a key that was revoked, or Postgres may be away: no reason to lose the lead."""
    for keys_required in (True, False):
        caller = Door(books, keys_required=keys_required).admit(Use.FORM, Parameters(key=a_key(KeyKind.WRITE, 7)))
        assert (caller.source.name, caller.mode, caller.key_kind) == ("default", "live", None)
        assert caller.doubts == (UNKNOWN_KEY,)


@pytest.mark.parametrize("token", ["pat-na1-0000-1111", "eyJhbGciOiJIUzI1NiJ9.e30.x", "", WRITE_KEY[1:]])
def test_a_form_that_brings_anothers_token_is_not_doubted_for_it(token: str) -> None:
    """HubSpot's own clients send HubSpot's token."""
    caller = Door().admit(Use.FORM, key=token)
    assert (caller.source.name, caller.key_kind, caller.doubts) == ("default", None, ())
    caller = Door().admit(Use.FORM, Parameters(key=WRITE_KEY), key=token)
    assert (caller.source, caller.key_kind, caller.doubts) == (SHOP, KeyKind.WRITE, ())


@pytest.mark.parametrize("key", [a_key(KeyKind.WRITE, 7), a_key(KeyKind.SECRET, 7), "fwk_", "fsk_short"])
def test_a_form_that_brings_an_unknown_key_of_ours_is_doubted_wherever_it_stands(key: str) -> None:
    assert Door().admit(Use.FORM, key=key).doubts == (UNKNOWN_KEY,)


# -- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [Use.EVENTS, Use.BEACON])
def test_a_write_key_is_for_the_pages_of_its_source(use: Use) -> None:
    caller = Door().admit(use, key=WRITE_KEY, origin=PAGE)
    assert (caller.origin, caller.doubts) == (PAGE, ())
    with pytest.raises(HttpProblem) as found:
        Door().admit(use, key=WRITE_KEY, origin=STRANGER)
    refused(found, 403, "origin-not-allowed")


def test_a_source_without_origins_takes_no_events_from_pages() -> None:
    with pytest.raises(HttpProblem) as found:
        Door(FixedBooks(book(Source("shop")))).admit(key=WRITE_KEY, origin=PAGE)
    refused(found, 403, "origin-not-allowed")


def test_a_form_on_another_page_is_marked_and_taken() -> None:
    caller = Door().admit(Use.FORM, key=WRITE_KEY, origin=STRANGER)
    assert (caller.origin, caller.doubts) == (STRANGER, (ORIGIN,))


def test_a_form_is_marked_only_where_the_source_names_origins() -> None:
    assert not Door(FixedBooks(book(Source("shop")))).admit(Use.FORM, key=WRITE_KEY, origin=STRANGER).doubts
    assert not Door().admit(Use.FORM, origin=STRANGER).doubts
    default = FixedBooks(book(Source("default", origins=(PAGE,))))
    assert Door(default).admit(Use.FORM, origin=STRANGER).doubts == (ORIGIN,)


@pytest.mark.parametrize("origin", [None, "null", ""])
def test_a_page_that_hides_its_origin_is_like_no_page(origin: str | None) -> None:
    caller = Door().admit(key=WRITE_KEY, origin=origin)
    assert (caller.origin, caller.doubts) == (None, ())


@pytest.mark.parametrize("start", [f"{PAGE}.", f"{PAGE}/", "https://", "https://例え"])
def test_an_origin_that_is_too_long_is_a_page_that_nobody_lists(start: str) -> None:
    origin = start + "a" * 100_000
    with pytest.raises(HttpProblem) as found:
        Door().admit(Use.EVENTS, key=WRITE_KEY, origin=origin)
    refused(found, 403, "origin-not-allowed")
    assert Door().admit(Use.FORM, key=WRITE_KEY, origin=origin).doubts == (ORIGIN,)
    assert not Door().gate.allows_origin(origin, None)
    assert not Door().gate.allows_origin(origin, WRITE_KEY)


def test_a_server_may_pass_an_origin_on() -> None:
    assert Door().admit(Use.OUTCOMES, key=SECRET_KEY, origin=STRANGER).source == SHOP


def test_a_page_may_read_answers_if_its_key_or_else_any_source_knows_it() -> None:
    gate = Door(FixedBooks(book(SHOP, Source("blog", origins=("https://blog.example",))))).gate
    assert gate.allows_origin(PAGE, WRITE_KEY)
    assert not gate.allows_origin("https://blog.example", WRITE_KEY)
    assert gate.allows_origin("https://blog.example", None)
    assert not gate.allows_origin(STRANGER, None)
    assert not gate.allows_origin(PAGE, a_key(KeyKind.WRITE, 7))
    assert not gate.allows_origin(PAGE, SECRET_KEY)


def test_pages_of_an_inactive_source_may_read_nothing() -> None:
    gate = Door(FixedBooks(book(Source("shop", origins=(PAGE,), active=False)))).gate
    assert not gate.allows_origin(PAGE, None)
    assert not gate.allows_origin(PAGE, WRITE_KEY)


# -- rate ------------------------------------------------------------------------------------------------------------


def slow_door(rate: int = 100) -> Door:
    return Door(FixedBooks(book(Source("shop", events_per_second=rate))))


def test_who_sends_more_than_their_rate_is_told_when_to_go_on() -> None:
    door = slow_door()
    caller = door.admit(key=SECRET_KEY)
    door.gate.spend(caller, 1000)
    with pytest.raises(HttpProblem) as found:
        door.gate.spend(caller, 1)
    problem = refused(found, 429, "rate-limited")
    door.watch.now += int((problem.headers or {})["Retry-After"])
    door.gate.spend(caller, 1)


def test_a_debt_is_paid_before_the_next_request() -> None:
    door = slow_door()
    caller = door.admit(key=SECRET_KEY)
    for items in (999, 1000):
        door.gate.spend(caller, items)
    with pytest.raises(HttpProblem) as found:
        door.gate.spend(caller, 1)
    assert (found.value.headers or {})["Retry-After"] == "10"


def test_a_noisy_page_does_not_hurt_the_server_of_its_source_nor_other_sources() -> None:
    other = a_key(KeyKind.SECRET, 1)
    keys = [held(WRITE_KEY, "shop"), held(SECRET_KEY, "shop"), held(other, "blog")]
    door = Door(FixedBooks(book(Source("shop", events_per_second=1), Source("blog", events_per_second=1), keys=keys)))
    noisy = door.admit(key=WRITE_KEY)
    door.gate.spend(noisy, 1000)
    with pytest.raises(HttpProblem):
        door.gate.spend(noisy, 1)
    door.gate.spend(door.admit(key=SECRET_KEY), 1000)
    door.gate.spend(door.admit(key=other), 1000)


@pytest.mark.parametrize("key", [None, WRITE_KEY, SECRET_KEY])
@pytest.mark.parametrize("noise", [Use.BEACON, Use.PIXEL])
def test_beacons_and_pixels_keep_no_form_out(key: str | None, noise: Use) -> None:
    door = Door()
    for _ in range(10):
        door.gate.spend(door.admit(noise, key=key), 1000)
    with pytest.raises(HttpProblem) as found:
        door.gate.spend(door.admit(noise, key=key), 1)
    refused(found, 429, "rate-limited")
    door.gate.spend(door.admit(Use.FORM, key=key), 1)


def test_forms_have_a_limit_too_and_take_nothing_from_events() -> None:
    door = slow_door()
    door.gate.spend(door.admit(Use.FORM, key=WRITE_KEY), 1000)
    with pytest.raises(HttpProblem) as found:
        door.gate.spend(door.admit(Use.FORM, key=WRITE_KEY), 1)
    refused(found, 429, "rate-limited")
    door.gate.spend(door.admit(Use.EVENTS, key=WRITE_KEY), 1)


def test_a_changed_rate_holds_from_the_next_request_on() -> None:
    door = slow_door(rate=1)
    door.gate.spend(door.admit(key=SECRET_KEY), 1000)
    door.books.book = book(Source("shop", events_per_second=500))
    door.gate.spend(door.admit(key=SECRET_KEY), 5000)


def test_without_a_key_there_is_a_limit_only_where_keys_are_required() -> None:
    here, outside = Door(keys_required=False), Door()
    for _ in range(20):
        here.gate.spend(here.admit(), 1000)
    outside.gate.spend(outside.admit(Use.FORM), 10_000)
    with pytest.raises(HttpProblem) as found:
        outside.gate.spend(outside.admit(Use.FORM), 1)
    refused(found, 429, "rate-limited")
