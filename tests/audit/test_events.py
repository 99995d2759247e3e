"""What stands in the audit trail, and that nobody can write into it but us."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest

from hoopjump.audit.events import Audit, AuditError, Event, Kind, new_reference
from hoopjump.audit.sinks import FileSink, LogSink, find, log_line

HOSTILE = 'alice\nlogin-opened ref=aaaaaaaa\x1b[2J\x7f\u2028\udcff "quoted"'


class Broken:
    """A sink whose disk is full."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def write(self, event: Event) -> None:
        raise OSError(28, "No space left on device")

    def complain(self, message: str) -> None:
        self.complaints.append(message)


def audit_to(path: Path) -> Audit:
    return Audit([FileSink(path)], clock=lambda: 1_700_000_000.25)


def test_an_event_is_one_line_of_json(tmp_path: Path) -> None:
    """Time in RFC 3339 and UTC, kind and reference first, then what is known; None is left out."""
    path = tmp_path / "audit.jsonl"
    audit_to(path).record(Kind.DENIED, "abcd2345", user="alice@x.io", source=None, reason="cert-expired")
    assert path.read_text() == (
        '{"time":"2023-11-14T22:13:20.250Z","kind":"denied","ref":"abcd2345",'
        '"user":"alice@x.io","reason":"cert-expired"}\n'
    )


def test_the_file_is_not_for_everybody(tmp_path: Path) -> None:
    """Mode 0640 at most: readable by the owner and a group."""
    path = tmp_path / "audit.jsonl"
    audit_to(path).record(Kind.FAULT, "abcd2345")
    assert path.stat().st_mode & 0o7137 == 0


@pytest.mark.parametrize("where", ["file", "log"])
def test_values_cannot_forge_lines(tmp_path: Path, where: str) -> None:
    """Newlines, escape sequences and undecodable bytes of a value stand there escaped, in printable ASCII."""
    path, stream = tmp_path / "audit.jsonl", io.StringIO()
    audit = Audit([FileSink(path), LogSink(stream, prefixes=True)])
    audit.record(Kind.DENIED, "abcd2345", user=HOSTILE, certificate={"key_id": HOSTILE, "principals": [HOSTILE]})
    text = path.read_text() if where == "file" else stream.getvalue()
    assert text.count("\n") == 1
    assert re.fullmatch(r"[\x20-\x7e]*\n", text)


def test_the_log_line_is_for_people(tmp_path: Path) -> None:
    """Kind, reference and values in a row; plain values bare, others quoted, moments in UTC; no trace."""
    event = audit_to(tmp_path / "x").record(
        Kind.SESSION_REFUSED,
        "abcd2345",
        reason="role-unknown",
        user="alice@x.io",
        sentence="no such resource role 'pgdmo'",
        certificate={"serial": "7", "principals": ["alice@x.io"], "valid_before": 2**64 - 1},
        deadline=1_800_000_000,
        trace=[{"name": "role", "passed": False, "detail": "pgdmo"}],
    )
    assert log_line(event) == (
        "session-refused ref=abcd2345 reason=role-unknown user=alice@x.io "
        "sentence=\"no such resource role 'pgdmo'\" certificate.serial=7 certificate.principals=alice@x.io "
        'certificate.valid_before=forever deadline="2027-01-15 08:00:00 UTC"'
    )


def test_the_journal_gets_priorities() -> None:
    """Refusals are notices, peers that may not ask are warnings; without a journal there is no prefix."""
    stream, plain = io.StringIO(), io.StringIO()
    audit = Audit([LogSink(stream, prefixes=True), LogSink(plain, prefixes=False)])
    for kind in (Kind.LOGIN_OPENED, Kind.DENIED, Kind.CALL_REFUSED, Kind.FAULT):
        audit.record(kind, "abcd2345")
    assert [line[:3] for line in stream.getvalue().splitlines()] == ["<6>", "<5>", "<4>", "<3>"]
    assert plain.getvalue().startswith("login-opened ref=abcd2345\n")


def test_a_rotated_file_is_left_alone(tmp_path: Path) -> None:
    """After a rename the next event goes to a new file of the old name, and none is lost."""
    path, rotated = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    audit = audit_to(path)
    audit.record(Kind.ADMITTED, "aaaaaaaa")
    path.rename(rotated)
    audit.record(Kind.ADMITTED, "bbbbbbbb")
    audit.record(Kind.ADMITTED, "cccccccc")
    assert "aaaaaaaa" in rotated.read_text()
    assert [json.loads(line)["ref"] for line in path.read_text().splitlines()] == ["bbbbbbbb", "cccccccc"]


def test_a_removed_file_comes_back(tmp_path: Path) -> None:
    """An administrator who deletes the file loses what was in it and nothing after."""
    path = tmp_path / "audit.jsonl"
    audit = audit_to(path)
    audit.record(Kind.ADMITTED, "aaaaaaaa")
    path.unlink()
    audit.record(Kind.ADMITTED, "bbbbbbbb")
    assert [event.ref for event in find(path, "bbbbbbbb")] == ["bbbbbbbb"]


def test_a_line_cut_by_a_full_disk_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event after one that was written in part starts on a line of its own."""
    path = tmp_path / "audit.jsonl"
    audit = audit_to(path)
    write, calls = os.write, iter([10, None])

    def fill_up(descriptor: int, data: bytes) -> int:
        room = next(calls)
        if room is None:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:room])

    monkeypatch.setattr(os, "write", fill_up)
    with pytest.raises(AuditError):
        audit.record(Kind.ADMITTED, "aaaaaaaa")
    monkeypatch.undo()
    audit.record(Kind.ADMITTED, "bbbbbbbb")
    assert [event.ref for event in find(path, "bbbbbbbb")] == ["bbbbbbbb"]
    assert find(path, "aaaaaaaa") == []


def test_a_failing_sink_is_reported_to_the_others() -> None:
    """The event still reaches the log, which also says at priority critical that the file failed."""
    stream = io.StringIO()
    Audit([Broken(), LogSink(stream, prefixes=True)]).record(Kind.ADMITTED, "abcd2345")
    complaint, event = stream.getvalue().splitlines()
    assert complaint == "<2>audit event admitted ref=abcd2345 was not written: [Errno 28] No space left on device"
    assert event == "<6>admitted ref=abcd2345"


def test_an_event_that_nobody_took_is_an_error() -> None:
    """Whoever records must not go on as if it stood there."""
    with pytest.raises(AuditError, match="no sink took"):
        Audit([Broken(), Broken()]).record(Kind.ADMITTED, "abcd2345")


def test_a_closed_log_counts_as_failed() -> None:
    """A stream that is gone is a sink that did not write."""
    stream = io.StringIO()
    stream.close()
    with pytest.raises(AuditError):
        Audit([LogSink(stream, prefixes=False)]).record(Kind.ADMITTED, "abcd2345")


def test_events_are_found_by_reference(tmp_path: Path) -> None:
    """All events of a reference, oldest first, and those of no other; a reference inside a value does not count."""
    path = tmp_path / "audit.jsonl"
    audit = audit_to(path)
    audit.record(Kind.ADMITTED, "aaaaaaaa")
    audit.record(Kind.DENIED, "bbbbbbbb", detail='"ref":"aaaaaaaa"', login="aaaaaaaa")
    audit.record(Kind.LOGIN_OPENED, "aaaaaaaa")
    with path.open("a") as file:
        file.write('{"ref":"aaaaaaaa"}\nnot json "ref":"aaaaaaaa"\n')
    assert [event.kind for event in find(path, "aaaaaaaa")] == [Kind.ADMITTED, Kind.LOGIN_OPENED]


def test_the_rotated_file_is_searched_too(tmp_path: Path) -> None:
    """A reference from before the rotation is still explained."""
    path = tmp_path / "audit.jsonl"
    audit = audit_to(path)
    audit.record(Kind.ADMITTED, "aaaaaaaa")
    path.rename(tmp_path / "audit.jsonl.1")
    audit.record(Kind.ADMITTED, "bbbbbbbb")
    assert [event.ref for event in find(path, "aaaaaaaa")] == ["aaaaaaaa"]
    assert find(path, "cccccccc") == []


def test_only_the_newest_events_are_kept_in_memory(tmp_path: Path) -> None:
    """A search is bounded, however often a reference occurs."""
    path = tmp_path / "audit.jsonl"
    audit = audit_to(path)
    for number in range(30):
        audit.record(Kind.ADMITTED, "aaaaaaaa", pid=number)
    assert [event.fields["pid"] for event in find(path, "aaaaaaaa", limit=3)] == [27, 28, 29]


def test_no_file_is_no_event(tmp_path: Path) -> None:
    """Before the first event there is nothing to find; a directory in its place is an error."""
    assert find(tmp_path / "none", "aaaaaaaa") == []
    with pytest.raises(AuditError):
        find(tmp_path, "aaaaaaaa")


def test_events_survive_a_round_trip() -> None:
    """What is read back is what was recorded; what a later version adds is passed over."""
    event = Event("2023-11-14T22:13:20.250Z", Kind.SESSION_ENDED, "abcd2345", {"exit": 7, "user": "alice@x.io"})
    assert Event.from_json(event.to_json()) == event
    assert Event.from_json(event.to_json()[:-1] + ',"colour":"blue"}').fields == event.fields


def test_references_are_short_and_differ() -> None:
    """Eight characters of lower-case base32 that nobody can guess."""
    references = {new_reference() for _ in range(200)}
    assert len(references) == 200
    assert all(re.fullmatch("[a-z2-7]{8}", reference) for reference in references)
