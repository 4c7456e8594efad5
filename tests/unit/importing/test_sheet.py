"""Sheets: rows, their line numbers, and what is wrong with them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from funnel.importing.sheet import BrokenRow, Row, Sheet, SheetError, open_sheet


def rows_of(text: str, delimiter: str = ",") -> list[Row | BrokenRow]:
    return list(Sheet(io.StringIO(text, newline=""), delimiter))


def test_delimiters_quotes_and_line_ends_inside_quotes_belong_to_the_cell() -> None:
    assert rows_of('id;note\r\n1;"a;b ""c""\r\nd"\r\n', ";") == [Row(2, ("1", 'a;b "c"\r\nd'))]


def test_a_row_has_the_number_of_the_first_line_it_stands_on() -> None:
    text = 'id,note\n1,"one\ntwo\nthree"\n2,x\n\n3,y\n'
    assert [row.line for row in rows_of(text)] == [2, 5, 7]


def test_empty_lines_and_rows_of_delimiters_alone_are_left_out() -> None:
    assert rows_of("id,note\n\n,\n  , \n1,x\n") == [Row(5, ("1", "x"))]


def test_a_wrong_number_of_cells_breaks_the_row_and_keeps_its_text() -> None:
    first, second, third = rows_of('id,note\n1\n2,"a ""b""",c\n3,x\n')
    assert first == BrokenRow(2, "1", "has 1 cell where the header has 2")
    assert second == BrokenRow(3, '2,"a ""b""",c', "has 3 cells where the header has 2")
    assert third == Row(4, ("3", "x"))


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    broken, *rest = rows_of('id,note\n1,"open\n2,x\n3,y\n')
    assert broken == BrokenRow(2, '1,"open', "opens a quote that is never closed")
    assert rest == [Row(3, ("2", "x")), Row(4, ("3", "y"))]


def test_an_open_quote_does_not_take_the_rows_before_the_next_quote() -> None:
    broken, *rest = rows_of('id,note\n1,"open\n2,x\n3,"y"\n')
    assert isinstance(broken, BrokenRow)
    assert broken.line == 2
    assert rest == [Row(3, ("2", "x")), Row(4, ("3", "y"))]


def test_text_behind_a_closing_quote_is_named() -> None:
    broken, row = rows_of('id,note\n1,"a" b\n2,x\n')
    assert broken == BrokenRow(2, '1,"a" b', "has text behind a closing quote; a quote inside a cell is written twice")
    assert row == Row(3, ("2", "x"))


def test_a_header_is_stripped_and_need_not_stand_on_the_first_line() -> None:
    sheet = Sheet(io.StringIO("\n id , note \n1,x\n", newline=""), ",")
    assert sheet.header == ("id", "note")
    assert [row.line for row in sheet] == [3]


@pytest.mark.parametrize("text", ["", "\n\n", ",,\n"])
def test_a_file_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(SheetError, match="no rows"):
        rows_of(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_part_of_the_first_header(tmp_path: Path, encoding: str, mark: bytes) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(mark + "番号,名前\r\n1,山田\r\n".encode())
    with open_sheet(path, encoding) as file:
        sheet = Sheet(file, ",")
        assert sheet.header == ("番号", "名前")
        assert list(sheet) == [Row(2, ("1", "山田"))]


def test_cp932_is_read_with_its_vendor_characters_and_backslash_bytes(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    text = "番号,会社\r\n1,㈱ソニー髙島屋①\r\n"  # ソ ends with the byte of a backslash
    path.write_bytes(text.encode("cp932"))
    with open_sheet(path, "cp932") as file:
        assert list(Sheet(file, ",")) == [Row(2, ("1", "㈱ソニー髙島屋①"))]


def test_a_byte_of_another_encoding_stays_within_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(b"id,note\n1,caf\xe9\n2,x\n")
    with open_sheet(path, "utf-8") as file:
        assert list(Sheet(file, ",")) == [Row(2, ("1", "caf\udce9")), Row(3, ("2", "x"))]


@pytest.mark.parametrize(
    ("start", "encoding", "words"),
    [
        (b"\xef\xbb\xbf", "cp932", "byte order mark, but the mapping says cp932"),
        (b"\xff\xfe", "utf-8", "UTF-16, but the mapping says utf-8"),
    ],
)
def test_a_file_that_says_it_is_of_another_encoding_is_refused(
    tmp_path: Path, start: bytes, encoding: str, words: str
) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(start + b"id\n1\n")
    with pytest.raises(SheetError, match=words):
        open_sheet(path, encoding)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match=r"leads\.csv: No such file"):
        open_sheet(tmp_path / "leads.csv", "utf-8")
