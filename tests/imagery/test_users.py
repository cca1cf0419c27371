"""Users and keys on both databases, and the command that manages them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from imagery.api_keys import split_key
from imagery.database.engine import Database
from imagery.database.tables import ApiKey, User
from imagery.database.users import UserError, Users
from imagery.principal import Role
from imagery.services import Services
from imagery.users import main
from testbed.services import services, simulator

__all__ = ["services", "simulator"]


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database)


def prefix_of(key: str) -> str:
    parts = split_key(key)
    assert parts is not None
    return parts[0]


def test_a_key_names_its_user_and_stands_nowhere(users: Users, database: Database) -> None:
    user, key = users.create("ann", Role.OPERATOR)
    principal = users.authenticate(key)
    assert principal is not None
    assert (principal.user_id, principal.name, principal.role) == (user.user_id, "ann", Role.OPERATOR)
    with database.read() as session:
        (stored,) = session.exec(select(ApiKey)).all()
    secret = key.split("_", 2)[2]
    assert secret not in repr(stored.model_dump())
    assert stored.prefix in key
    assert stored.last_used_at is not None


def test_what_is_not_exactly_the_key_is_no_key(users: Users) -> None:
    _, key = users.create("ann", Role.USER)
    wrong = [
        key[:-1],
        key + "A",
        key.upper(),
        key.swapcase(),
        "",
        "igp__",
        f"Bearer {key}",
        key.replace("igp", "igq"),
    ]
    last = "A" if key[-1] != "A" else "B"
    assert [users.authenticate(each) for each in [*wrong, key[:-1] + last]] == [None] * 9


def test_the_same_secret_has_another_hash_each_time(users: Users, database: Database) -> None:
    users.create("ann", Role.USER)
    users.create("bob", Role.USER)
    with database.read() as session:
        keys = session.exec(select(ApiKey)).all()
    assert len({key.salt for key in keys}) == len({key.hash for key in keys}) == 2


def test_a_revoked_key_ends_at_once_and_the_others_stay(users: Users) -> None:
    _, first = users.create("ann", Role.USER)
    second = users.add_key("ann")
    users.revoke(prefix_of(first))
    assert users.authenticate(first) is None
    assert users.authenticate(second) is not None


def test_rotation_leaves_the_old_key_its_grace(users: Users) -> None:
    _, first = users.create("ann", Role.USER)
    second = users.rotate(prefix_of(first), timedelta(hours=1))
    assert users.authenticate(first) is not None
    third = users.rotate(prefix_of(second), timedelta(0))
    assert users.authenticate(second) is None
    assert users.authenticate(third) is not None
    with pytest.raises(UserError):
        users.rotate(prefix_of(second), timedelta(hours=1))


def test_a_key_ends_with_its_time(users: Users) -> None:
    users.create("ann", Role.USER)
    assert users.authenticate(users.add_key("ann", timedelta(seconds=-1))) is None
    assert users.authenticate(users.add_key("ann", timedelta(hours=1))) is not None


def test_a_disabled_user_has_no_valid_key(users: Users) -> None:
    _, key = users.create("ann", Role.USER)
    users.change("ann", disabled=True)
    assert users.authenticate(key) is None
    users.change("ann", disabled=False)
    assert users.authenticate(key) is not None


def test_a_sign_in_makes_its_user_and_follows_its_role(users: Users) -> None:
    who = str(uuid.uuid4())
    first = users.sign_in(who, "Ann", Role.USER)
    again = users.sign_in(who, "Ann B.", Role.OPERATOR)
    assert first is not None
    assert again is not None
    kept = users.get(who)
    assert isinstance(kept, User)
    assert (kept.name, kept.role) == ("Ann B.", "operator")
    users.change(who, disabled=True)
    assert users.sign_in(who, "Ann", Role.USER) is None


def test_names_are_unique(users: Users) -> None:
    users.create("ann", Role.USER)
    with pytest.raises(UserError):
        users.create("ann", Role.USER)


def test_a_name_that_two_users_have_names_neither(users: Users) -> None:
    user, _ = users.create("ann", Role.OPERATOR)
    other = str(uuid.uuid4())
    users.sign_in(other, "ann", Role.USER)
    for ask in (users.named, users.add_key, lambda name: users.change(name, role=Role.ADMIN)):
        with pytest.raises(UserError, match="More than one"):
            ask("ann")
    users.sign_in(other, user.user_id, Role.USER)
    assert users.named(user.user_id).user_id == user.user_id, "an id is nobody else's name"


@pytest.mark.parametrize("amount", ["nan", "inf", "-1", "1e300"])
def test_amounts_that_are_none_are_misunderstood(services: Services, amount: str) -> None:
    services.users.create("ann", Role.USER)
    for command in (
        ["key", "ann", f"--days={amount}"],
        ["rotate", "a", f"--grace-h={amount}"],
        ["change", "ann", f"--usd-per-day={amount}"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 2


def test_the_command(services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["create", "ann", "--role", "operator"]) == 0
    key = capsys.readouterr().out.split()[-1]
    assert services.users.authenticate(key) is not None
    assert main(["rotate", prefix_of(key), "--grace-h", "0"]) == 0
    newer = capsys.readouterr().out.split()[-1]
    assert services.users.authenticate(key) is None
    assert main(["change", "ann", "--role", "user", "--usd-per-day", "1.5", "--jobs-per-minute", "3"]) == 0
    ann = services.users.named("ann")
    assert (ann.role, ann.micro_usd_per_day, ann.jobs_per_minute) == ("user", 1_500_000, 3)
    capsys.readouterr()
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "ann  user" in listed
    assert newer.split("_", 2)[2] not in listed
    assert main(["revoke", prefix_of(newer)]) == 0
    assert services.users.authenticate(newer) is None
    capsys.readouterr()
    assert main(["revoke", "nothing"]) == 1
    assert "no key" in capsys.readouterr().err
    assert main(["webhook-secret", "ann"]) == 1
    assert "WEBHOOK_SIGNING_KEY" in capsys.readouterr().err
    file = tmp_path / "key"
    assert main(["develop", "--key-file", str(file)]) == 0
    assert capsys.readouterr().out.strip() == file.read_text().strip()
    assert file.stat().st_mode & 0o077 == 0
    assert main(["develop", "--key-file", str(file)]) == 0
    assert capsys.readouterr().out == "", "shown once"
    with pytest.raises(SystemExit):
        main(["create", "bob", "--role", "king"])
