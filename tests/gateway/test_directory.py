"""Finding users as the gateway's SSH server finds them, from recorded replies."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hoopjump.config import ConfigError
from hoopjump.decision.values import Ambiguous, Answer, Found, Lookup, Missing, Unavailable, UserAttribute
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.directory import Directory
from tests.gateway.replay import KEY, Replay, body, section

ALICE_ID = "0B9A41C6-6A3A-4B36-8E2F-5D2A6D1C9E77"


def ask(gateway: Replay, attribute: UserAttribute, value: str, **settings: Any) -> Answer:
    """One lookup by a directory of its own."""
    made = section(gateway.url, **settings)
    return Directory(GatewayClient(made, KEY), made).answer(Lookup(attribute, value))


def user(subject: str, email: str, status: str = "active", **fields: Any) -> dict[str, Any]:
    """A user as the gateway lists it."""
    return {**body("users_get_by_email"), "id": subject, "email": email, "status": status, **fields}


def test_user_is_found_by_email(gateway: Replay) -> None:
    """An address that is surely one is asked for by itself, and its groups come along."""
    gateway.play("users_get_by_email", "users_list")
    answer = ask(gateway, "email", "alice@x.io")
    assert isinstance(answer, Found)
    assert (answer.user.subject, answer.user.groups, answer.user.active) == ("alice@x.io", ("dev",), True)
    assert answer.user.user_id is None


def test_user_is_found_by_subject(gateway: Replay) -> None:
    """A subject without "@" is asked for by itself; no list is read."""
    gateway.play("users_get_by_subject")
    answer = ask(gateway, "subject", "auth0|5f1c")
    assert isinstance(answer, Found)
    assert answer.user.email == "olga@x.io"
    assert gateway.paths() == ["/api/users/auth0%7C5f1c"]


def test_local_users_subject_is_the_address(gateway: Replay) -> None:
    """A subject that looks like an address is found by it where both are equal."""
    gateway.play("users_get_by_email")
    assert isinstance(ask(gateway, "subject", "alice@x.io"), Found)


def test_subject_that_looks_like_another_address_is_found_in_the_list(gateway: Replay) -> None:
    """The REST API cannot be asked for it: the single answer is somebody else."""
    gateway.answer("/api/users/old@x.io", user("sub|9", "old@x.io"))
    gateway.answer("/api/users", [user("sub|9", "old@x.io"), user("old@x.io", "new@x.io")])
    answer = ask(gateway, "subject", "old@x.io")
    assert isinstance(answer, Found)
    assert answer.user.email == "new@x.io"


@pytest.mark.parametrize("subject", ["realm/5f1c", "groups", "a@b@c", "..", "x y", "Alice <alice@x.io>"])
def test_subject_the_api_cannot_be_asked_for_is_found_in_the_list(gateway: Replay, subject: str) -> None:
    """A slash, a route's name, or what might be an address: the list is searched."""
    gateway.answer("/api/users", [user("other", "other@x.io"), user(subject, "alice@x.io")])
    answer = ask(gateway, "subject", subject)
    assert isinstance(answer, Found)
    assert answer.user.subject == subject
    assert gateway.paths() == ["/api/users"]


@pytest.mark.parametrize("email", ['"a b"@x.io', "alice@[127.0.0.1]", "älice@x.io", "alice (x)@x.io"])
def test_unusual_address_is_found_in_the_list(gateway: Replay, email: str) -> None:
    """Whether the gateway takes it for an address is not guessed."""
    gateway.answer("/api/users", [user("sub", email)])
    assert isinstance(ask(gateway, "email", email), Found)
    assert gateway.paths() == ["/api/users"]


def test_unknown_address_is_missing(gateway: Replay) -> None:
    """The gateway's own 404 is sure."""
    gateway.play("users_get_missing")
    assert ask(gateway, "email", "nobody@x.io") == Missing()


def test_uuid_is_a_subject_to_the_api(gateway: Replay) -> None:
    """A UUID asked for as subject finds no internal id."""
    gateway.play("users_get_by_internal_uuid")
    assert ask(gateway, "subject", "f1b02e47-3b43-41ae-8c24-e4590a651d54") == Missing()


@pytest.mark.parametrize("value", ["", "a" * 256, "alice@x.io\0"])
def test_value_no_column_can_hold_is_missing_unasked(gateway: Replay, value: str) -> None:
    """Nothing is asked for what the gateway cannot have."""
    assert ask(gateway, "email", value) == Missing()
    assert gateway.requests == []


def test_inactive_user_is_found_with_the_status(gateway: Replay) -> None:
    """The status is the decision's business; the directory only tells it."""
    gateway.play("users_get_inactive", "users_list")
    answer = ask(gateway, "email", "dave@x.io")
    assert isinstance(answer, Found)
    assert (answer.user.status, answer.user.active) == ("inactive", False)


def test_invited_user_is_not_active(gateway: Replay) -> None:
    """Somebody who has not logged in to the gateway yet is known, and not active."""
    gateway.play("oidc_user_before_first_login")
    gateway.answer("/api/users", [])
    answer = ask(gateway, "email", "frank@x.io")
    assert isinstance(answer, Found)
    assert (answer.user.status, answer.user.active) == ("invited", False)


@pytest.mark.parametrize("attribute", ["email", "subject"])
def test_answer_that_differs_in_case_is_no_answer(gateway: Replay, attribute: UserAttribute) -> None:
    """Equality is checked again here, whatever the gateway's database thinks of case."""
    gateway.answer("/api/users/alice", user("Alice", "Alice@x.io"))
    gateway.answer("/api/users/alice@x.io", user("Alice", "Alice@x.io"))
    value = "alice" if attribute == "subject" else "alice@x.io"
    assert isinstance(ask(gateway, attribute, value), Unavailable)


def test_list_is_searched_exactly(gateway: Replay) -> None:
    """Neither case nor spaces are forgiven in a list."""
    gateway.answer("/api/users", [user("Realm/x", "a@x.io"), user(" realm/x", "b@x.io")])
    assert ask(gateway, "subject", "realm/x") == Missing()


def test_active_user_wins_over_inactive_ones_of_the_same_address(gateway: Replay) -> None:
    """The single answer ignores the status, the gateway's SSH server does not."""
    gateway.answer("/api/users/a@x.io", user("s1", "a@x.io", "inactive"))
    gateway.answer(
        "/api/users",
        [user("s1", "a@x.io", "inactive"), user("s2", "a@x.io", "invited"), user("s3", "a@x.io"), user("s4", "A@x.io")],
    )
    answer = ask(gateway, "email", "a@x.io")
    assert isinstance(answer, Found)
    assert answer.user.subject == "s3"


def test_invited_user_wins_over_inactive_ones(gateway: Replay) -> None:
    """The gateway's order is active, invited, others."""
    gateway.answer("/api/users/a@x.io", user("s1", "a@x.io", "inactive"))
    gateway.answer("/api/users", [user("s1", "a@x.io", "inactive"), user("s2", "a@x.io", "invited")])
    answer = ask(gateway, "email", "a@x.io")
    assert isinstance(answer, Found)
    assert answer.user.subject == "s2"


def test_two_active_users_of_one_address_are_ambiguous(gateway: Replay) -> None:
    """Whose certificate it is cannot be told, so nobody is chosen."""
    gateway.answer("/api/users/a@x.io", user("s1", "a@x.io"))
    gateway.answer("/api/users", [user("s1", "a@x.io"), user("s2", "a@x.io")])
    assert ask(gateway, "email", "a@x.io") == Ambiguous()


@pytest.mark.parametrize(
    ("reply", "status"),
    [({"message": "boom"}, 500), ([], 200), ({"id": 1, "email": "alice@x.io", "status": "active"}, 200), (None, 200)],
    ids=["500", "list", "wrong-type", "null"],
)
def test_useless_answer_is_unavailable(gateway: Replay, reply: object, status: int) -> None:
    """Neither an error nor a reply of another shape says that there is no such user."""
    gateway.answer("/api/users/alice@x.io", reply, status=status)
    answer = ask(gateway, "email", "alice@x.io")
    assert isinstance(answer, Unavailable)
    assert not answer.slow


def test_slow_gateway_is_told_apart(gateway: Replay) -> None:
    """A missed deadline gets its own advice: try again."""
    done = threading.Event()
    gateway.routes["/api/users/alice@x.io"] = lambda _: (done.wait(5), None)[1]
    answer = ask(gateway, "email", "alice@x.io", read_timeout=0.2)
    done.set()
    assert isinstance(answer, Unavailable)
    assert answer.slow


def test_list_is_read_once_for_many_lookups_at_a_time(gateway: Replay) -> None:
    """Fifty users logging in together cost one list."""
    users = [user(f"realm/{number}", f"u{number}@x.io") for number in range(50)]
    gateway.answer("/api/users", users)
    made = section(gateway.url, cache=30)
    directory = Directory(GatewayClient(made, KEY), made)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda value=entry["id"]: answers.append(directory.answer(Lookup("subject", value))))
        for entry in users
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert all(isinstance(answer, Found) for answer in answers)
    assert len(gateway.requests) == 1


def test_failed_list_is_not_kept(gateway: Replay) -> None:
    """A fault lasts as long as the fault."""
    calls: list[int] = []
    gateway.answer("/api/users", [user("realm/1", "a@x.io")])
    good = gateway.routes["/api/users"]

    def fail_once(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        if len(calls) > 1:
            good(handler)
            return
        handler.send_response(503)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    gateway.routes["/api/users"] = fail_once
    made = section(gateway.url, cache=30)
    directory = Directory(GatewayClient(made, KEY), made)
    assert isinstance(directory.answer(Lookup("subject", "realm/1")), Unavailable)
    assert isinstance(directory.answer(Lookup("subject", "realm/1")), Found)


def csv_file(directory: Path, text: str) -> Path:
    """A directory file that only its owner writes."""
    path = directory / "users.csv"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_user_id_is_found_by_file_and_confirmed_by_the_gateway(gateway: Replay, tmp_path: Path) -> None:
    """The file gives the subject, the gateway the status and the groups; either case is one UUID."""
    gateway.play("users_get_by_email")
    path = csv_file(tmp_path, f"subject,user_id,email\nalice@x.io,{ALICE_ID},alice@x.io\n")
    for value in (ALICE_ID, ALICE_ID.lower()):
        answer = ask(gateway, "user_id", value, user_attribute="user_id", directory_file=path)
        assert isinstance(answer, Found)
        assert (answer.user.groups, answer.user.user_id) == (("dev",), ALICE_ID.lower())


@pytest.mark.parametrize("value", ["alice@x.io", "0b9a41c6", "{0b9a41c6-6a3a-4b36-8e2f-5d2a6d1c9e77}"])
def test_what_is_no_uuid_is_missing(gateway: Replay, tmp_path: Path, value: str) -> None:
    """The gateway passes over a principal that is no UUID."""
    path = csv_file(tmp_path, "subject,user_id,email\n")
    assert ask(gateway, "user_id", value, directory_file=path) == Missing()


def test_stale_directory_file_does_not_lend_an_identity(gateway: Replay, tmp_path: Path) -> None:
    """When file and gateway disagree on the address, nobody is let in as either."""
    gateway.play("users_get_by_email")
    path = csv_file(tmp_path, f"subject,user_id,email\nalice@x.io,{ALICE_ID},eve@x.io\n")
    answer = ask(gateway, "user_id", ALICE_ID, directory_file=path)
    assert isinstance(answer, Unavailable)
    assert "eve@x.io" in answer.detail


def test_directory_file_is_read_again_when_it_changes(gateway: Replay, tmp_path: Path) -> None:
    """A user added to the file is found without a restart."""
    gateway.play("users_get_by_email")
    path = csv_file(tmp_path, "subject,user_id,email\n")
    made = section(gateway.url, directory_file=path)
    directory = Directory(GatewayClient(made, KEY), made)
    assert directory.answer(Lookup("user_id", ALICE_ID)) == Missing()
    csv_file(tmp_path, f"subject,user_id,email\nalice@x.io,{ALICE_ID},\n")
    assert isinstance(directory.answer(Lookup("user_id", ALICE_ID)), Found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        ("alice,1,2\n", ":1: the first line"),
        ("subject,user_id,email\nalice\n", ":2: not subject,user_id,email"),
        ("subject,user_id,email\nalice,xyz,\n", ":2: user_id is not a UUID"),
        (f"subject,user_id,email\na,{ALICE_ID},\nb,{ALICE_ID.lower()},\n", ":3: this user stands in the file twice"),
        ('subject,user_id,email\n"a"b,c,d\n', ":2: "),
    ],
)
def test_faulty_directory_file_is_told_with_its_line(gateway: Replay, tmp_path: Path, text: str, fault: str) -> None:
    """A bad line is nobody's identity; the log names file and line."""
    answer = ask(gateway, "user_id", ALICE_ID, directory_file=csv_file(tmp_path, text))
    assert isinstance(answer, Unavailable)
    assert fault in answer.detail


def test_directory_file_that_others_may_write_is_refused(gateway: Replay, tmp_path: Path) -> None:
    """Whoever writes the file decides who is who."""
    path = csv_file(tmp_path, f"subject,user_id,email\nalice@x.io,{ALICE_ID},\n")
    path.chmod(0o666)
    answer = ask(gateway, "user_id", ALICE_ID, directory_file=path)
    assert isinstance(answer, Unavailable)
    assert "decides who is who" in answer.detail


def test_a_directory_in_the_directory_files_place_is_said_so_and_costs_no_descriptor(
    gateway: Replay, tmp_path: Path
) -> None:
    """Each login asks again, and the daemon lives long."""
    answer = ask(gateway, "user_id", ALICE_ID, directory_file=tmp_path)
    assert isinstance(answer, Unavailable)
    assert "Is a directory" in answer.detail
    assert tmp_path not in [path.resolve() for path in Path("/proc/self/fd").iterdir()]


def test_user_id_without_a_source_is_a_configuration_error(gateway: Replay) -> None:
    """The REST API shows no internal UUID, which is said at start rather than at each login."""
    with pytest.raises(ConfigError):
        ask(gateway, "user_id", ALICE_ID, user_attribute="user_id")


def test_unreachable_database_tells_nothing_of_its_password(gateway: Replay, tmp_path: Path) -> None:
    """The connection string is a secret; only the kind of the failure is told."""
    secret = tmp_path / "dsn"
    secret.write_text("postgresql://hoopjump:s3cret@127.0.0.1:1/hoop\n")
    secret.chmod(0o600)
    answer = ask(gateway, "user_id", ALICE_ID, directory_database=f"file:{secret}")
    assert isinstance(answer, Unavailable)
    assert "OperationalError" in answer.detail
    assert "s3cret" not in answer.detail
