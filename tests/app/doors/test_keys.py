"""A file of API keys: what it may hold, and what a change of it does."""

import logging
import re
from pathlib import Path

import pytest

from app.doors.keys import ApiKeys, KeysError
from model.errors import FacepairError

ALICE = "alice-0123456789abcdef"
BOB = "bob-0123456789abcdef=="


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "keys", "# of the app", ALICE, "", f"  {BOB}  ")


def test_each_listed_key_is_found_under_a_name_that_does_not_tell_it(path: Path) -> None:
    listed = ApiKeys(path)
    names = [listed.find(key.encode()) for key in (ALICE, BOB)]
    assert all(re.fullmatch("[0-9a-f]{8}", name or "") for name in names)
    assert len(set(names)) == 2
    for other in (b"", ALICE[:-1].encode(), ALICE.encode() + b"x", b"# of the app", ALICE.upper().encode()):
        assert listed.find(other) is None


def test_no_key_is_kept(path: Path) -> None:
    kept = repr(vars(ApiKeys(path)))
    assert not any(key in kept for key in (ALICE, BOB))


def test_every_digest_is_compared_in_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    listed = ApiKeys(path)
    for offered in (ALICE, BOB, "x"):
        listed.find(offered.encode())
    assert compared == [(32, 32)] * 6


def test_a_change_is_seen_a_second_later(path: Path) -> None:
    clock = Clock()
    listed = ApiKeys(path, clock)
    write(path, BOB)
    clock.now = 0.9
    assert listed.find(ALICE.encode())
    clock.now = 1.0
    assert listed.find(ALICE.encode()) is None
    assert listed.find(BOB.encode())


@pytest.mark.parametrize("text", [None, "", "short\n", f"{ALICE}\nclear and SECRET, with spaces\n"])
def test_the_keys_stay_if_the_file_is_spoilt(path: Path, text: str | None, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    listed = ApiKeys(path, clock)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with caplog.at_level(logging.ERROR):
        for clock.now in (1.0, 2.0):
            assert listed.find(BOB.encode())
    assert {record.getMessage() for record in caplog.records} == {"the API keys stay as they were"}
    assert "SECRET" not in str([vars(record) for record in caplog.records])
    write(path, ALICE)
    clock.now = 3.0
    assert listed.find(BOB.encode()) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "has no key"),
        ("# only\n\n# comments\n", "has no key"),
        (f"{ALICE}\nSECRET-is-short\n", "line 2 of the file of API keys is no key"),
        ("SECRET with spaces, but long\n", "line 1 "),
        ("SECRET" * 50, "line 1 "),
    ],
)
def test_a_malformed_file_is_refused_without_quoting_it(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KeysError, match=why) as caught:
        ApiKeys(path)
    assert isinstance(caught.value, FacepairError)
    assert "SECRET" not in str(caught.value)
