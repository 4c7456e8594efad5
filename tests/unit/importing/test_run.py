"""An import as a whole: its totals, its rejects file, and how it goes on after an interruption."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import httpx
import pytest

from funnel.importing.checkpoint import Checkpoint, CheckpointFile
from funnel.importing.mapping import read
from funnel.importing.posting import BATCH_ITEMS, Ingest, IngestRefused
from funnel.importing.run import Job, fingerprint, run

MAPPING = """\
name: fair
kind: events
delimiter: ";"
id: Nr
dates: ["%Y.%m.%d"]
encoding: {encoding}
constants: {{type: form.submitted}}
columns: {{Tag: occurred_at, Mail: identity.email}}
"""


class Endpoint:
    """Takes events until `stops_after` requests; refuses addresses without an @."""

    def __init__(self, stops_after: int | None = None) -> None:
        self.ids: list[str] = []
        self._left = stops_after

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200)
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1
        results = []
        for event in json.loads(request.content)["events"]:
            self.ids.append(event["event_id"])
            good = "@" in event["identity"]["email"]
            results.append({"status": "accepted"} if good else {"status": "invalid", "detail": "/identity/email: bad"})
        return httpx.Response(202, json={"results": results})

    def ingest(self, job: Job) -> Ingest:
        client = httpx.Client(base_url="http://ingest", transport=httpx.MockTransport(self))
        return Ingest(client, kind=job.mapping.kind, source=job.mapping.name, mode=job.mapping.mode)


def job(folder: Path, content: str, encoding: str = "utf-8", name: str = "leads.csv") -> Job:
    path = folder / name
    path.write_bytes(content.encode(encoding, errors="surrogateescape"))
    mapping = read(MAPPING.format(encoding=encoding), name="m.yaml", timezone="Asia/Tokyo")
    files = CheckpointFile(folder / "imports", fingerprint(path).digest, mapping.digest)
    return Job(path, mapping, folder / f"{path.stem}.rejects.csv", files)


def import_with(endpoint: Endpoint, one: Job) -> Checkpoint:
    return run(one, endpoint.ingest(one), lambda state: None)


def rejected_rows(one: Job) -> list[dict[str, str]]:
    with one.rejects.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def test_each_row_is_accepted_repeated_or_rejected(tmp_path: Path) -> None:
    one = job(
        tmp_path,
        "Nr;Tag;Mail\n1;2018.02.01;a@example.com\n1;2018.02.01;a@example.com\n2;20.máj;b@example.com\n3;2018.02.01;c\n4\n",
    )
    done = import_with(Endpoint(), one)
    assert (done.rows, done.accepted, done.repeats, done.rejected) == (5, 1, 1, 3)


def test_rejected_rows_keep_their_cells_and_tell_line_column_and_reason(tmp_path: Path) -> None:
    one = job(tmp_path, "Nr;Tag;Mail\n2;20.máj;b@example.com\n3;2018.02.01;c\n4;x\n")
    import_with(Endpoint(), one)
    date, refused, broken = rejected_rows(one)
    assert (date["Nr"], date["Tag"], date["import_line"], date["import_column"]) == ("2", "20.máj", "2", "Tag")
    assert date["import_reason"].startswith("'20.máj' is not a date")
    assert (refused["import_column"], refused["import_reason"]) == ("Mail", "/identity/email: bad")
    assert (broken["Nr"], broken["import_line"], broken["import_text"]) == ("", "4", "4;x")


def test_repaired_rejects_are_imported_with_the_same_mapping(tmp_path: Path) -> None:
    one = job(tmp_path, "Nr;Tag;Mail\n2;20.máj;b@example.com\n4;x\n")
    import_with(Endpoint(), one)
    repaired = one.rejects.read_text(encoding="utf-8-sig").replace("20.máj", "2018.05.20")
    endpoint = Endpoint()
    again = job(tmp_path, repaired, name="repaired.csv")
    done = import_with(endpoint, again)
    assert (done.accepted, done.rejected, endpoint.ids) == (1, 1, ["2"])
    (left,) = rejected_rows(again)
    assert (left["import_line"], left["import_text"]) == ("3", "4;x")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_rejects_are_written_in_the_encoding_of_the_file_with_its_own_bytes(tmp_path: Path, encoding: str) -> None:
    one = job(tmp_path, "Nr;Tag;Mail\n髙1;x;ソ@example.jp\n2;2018.02.01;\udc81\n", encoding)
    import_with(Endpoint(), one)
    content = one.rejects.read_bytes()
    assert "髙1;x;ソ@example.jp;2;Tag;".encode(encoding.removesuffix("-sig")) in content
    assert b"\x81;3;Mail;holds bytes" in content
    assert content.startswith(b"\xef\xbb\xbf") == (encoding != "cp932")


def test_nothing_rejected_leaves_no_rejects_file_behind(tmp_path: Path) -> None:
    one = job(tmp_path, "Nr;Tag;Mail\n1;2018.02.01;a@example.com\n")
    one.rejects.write_text("of an earlier import")
    import_with(Endpoint(), one)
    assert not one.rejects.exists()


def many(rows: int, bad: set[int]) -> str:
    lines = (f"{n};2018.02.01;{'nobody' if n in bad else 'a@example.com'}\n" for n in range(rows))
    return "Nr;Tag;Mail\n" + "".join(lines)


def test_an_interrupted_import_goes_on_with_the_batch_in_hand_and_ends_with_the_same_totals(
    tmp_path: Path,
) -> None:
    rows, bad = 3 * BATCH_ITEMS + 7, {3, BATCH_ITEMS + 5, 3 * BATCH_ITEMS + 1}
    one = job(tmp_path, many(rows, bad))
    first, second = Endpoint(stops_after=2), Endpoint()
    with pytest.raises(KeyboardInterrupt):
        import_with(first, one)
    assert one.checkpoints.load().line == 2 * BATCH_ITEMS + 1
    done = import_with(second, one)
    assert first.ids + second.ids == [str(n) for n in range(rows)]
    assert (done.rows, done.accepted, done.rejected) == (rows, rows - 3, 3)
    assert [int(row["import_line"]) - 2 for row in rejected_rows(one)] == sorted(bad)


def test_rejects_of_a_batch_whose_checkpoint_was_lost_are_not_written_twice(tmp_path: Path) -> None:
    one = job(tmp_path, many(2 * BATCH_ITEMS, {1, BATCH_ITEMS + 1}))
    with pytest.raises(KeyboardInterrupt):
        import_with(Endpoint(stops_after=1), one)
    with one.rejects.open("ab") as file:
        file.write(b"half a row of the batch in ha")
    import_with(Endpoint(), one)
    assert [row["Nr"] for row in rejected_rows(one)] == ["1", str(BATCH_ITEMS + 1)]


def test_a_complete_import_begins_again_when_it_is_run_again(tmp_path: Path) -> None:
    one = job(tmp_path, many(5, set()))
    endpoint = Endpoint()
    assert import_with(endpoint, one) == import_with(endpoint, one)
    assert endpoint.ids == ["0", "1", "2", "3", "4"] * 2


def test_a_refused_import_keeps_its_checkpoint(tmp_path: Path) -> None:
    one = job(tmp_path, many(5, set()))
    client = httpx.Client(base_url="http://ingest", transport=httpx.MockTransport(lambda _: httpx.Response(404)))
    with pytest.raises(IngestRefused):
        run(one, Ingest(client, kind=one.mapping.kind, source="x", mode="live"), lambda state: None)
    assert one.checkpoints.load() == Checkpoint()


def test_an_unreadable_checkpoint_means_the_beginning(tmp_path: Path) -> None:
    files = CheckpointFile(tmp_path, "a", "b")
    files.save(Checkpoint(line=7, accepted=5))
    assert files.load() == Checkpoint(line=7, accepted=5)
    files.path.write_bytes(b'{"line": 7')
    assert files.load() == Checkpoint()
    assert CheckpointFile(tmp_path, "a", "c").load() == Checkpoint()
