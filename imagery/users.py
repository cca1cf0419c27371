"""``python -m imagery.users``: users, API keys, roles and quotas, in the database of DATABASE_URL."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import make_url

from imagery.database.engine import get_database
from imagery.database.users import UserError, Users
from imagery.principal import Role
from imagery.settings import get_settings
from imagery.webhooks import SigningKeyError, webhook_secret

_DEVELOPER = "developer"
_LARGEST_AMOUNT = 1e6
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def main(arguments: list[str]) -> int:
    """Run one command. Returns 0 when done, 1 when refused; exits with 2 if the command is wrong."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(Users(get_database()), chosen)
    except (UserError, SigningKeyError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _create(users: Users, chosen: argparse.Namespace) -> None:
    user, key = users.create(chosen.name, chosen.role)
    _say(f"user {user.user_id} ({user.name}, {user.role})")
    _show(key)


def _add_key(users: Users, chosen: argparse.Namespace) -> None:
    days = chosen.days
    _show(users.add_key(chosen.name, timedelta(days=days) if days else None))


def _rotate(users: Users, chosen: argparse.Namespace) -> None:
    key = users.rotate(chosen.key, timedelta(hours=chosen.grace_h))
    _say(f"the old key is valid for {chosen.grace_h:g} h more")
    _show(key)


def _revoke(users: Users, chosen: argparse.Namespace) -> None:
    users.revoke(chosen.key)
    _say("revoked")


def _change(users: Users, chosen: argparse.Namespace) -> None:
    user = users.change(
        chosen.name,
        role=chosen.role,
        disabled=chosen.disabled,
        jobs_per_minute=chosen.jobs_per_minute,
        concurrent_jobs=chosen.concurrent_jobs,
        usd_per_day=chosen.usd_per_day,
    )
    _say(f"user {user.user_id} ({user.name}, {user.role}) was changed")


def _webhook_secret(users: Users, chosen: argparse.Namespace) -> None:
    master = get_settings().callbacks.signing_key
    user = users.change(chosen.name, new_webhook_secret=True) if chosen.new else users.named(chosen.name)
    _say(webhook_secret(master, user.user_id, user.webhook_version))


def _list(users: Users, _: argparse.Namespace) -> None:
    for view in users.all():
        user = view.user
        state = ", disabled" if user.disabled_at else ""
        _say(f"{user.name}  {user.role}{state}  {user.user_id}")
        for key in view.keys:
            end = f"revoked {_day(key.revoked_at)}" if key.revoked_at else f"ends {_day(key.expires_at)}"
            _say(
                f"    igp_{key.prefix}_...  made {_day(key.created_at)}  used {_day(key.last_used_at)}  {end}"
            )


def _develop(users: Users, chosen: argparse.Namespace) -> None:
    """Make a user for this machine, and keep its key in a file that only its owner can read."""
    url = make_url(get_settings().database_url.get_secret_value())
    if url.get_backend_name() != "sqlite" and (url.host or "localhost") not in _THIS_MACHINE:
        raise UserError(
            f"The database is on {url.host}, not on this machine, so no developer's key is made there. "
            "Make a key with 'create' and set it as API_KEY."
        )
    file: Path = chosen.key_file
    known = file.read_text().strip() if file.exists() else ""
    if known and users.authenticate(known):
        return
    names = {view.user.name for view in users.all()}
    if _DEVELOPER in names:
        key = users.add_key(_DEVELOPER)
    else:
        _, key = users.create(_DEVELOPER, Role.ADMIN)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(key + "\n")
    _say(key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imagery.users",
        description="Manage users, API keys, roles and quotas in the database of DATABASE_URL.",
        epilog='With a stack that runs in this checkout: make users ARGS="create ann"',
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    create = command("create", _create, "make a user and its first key, which is shown once")
    create.add_argument("name")
    create.add_argument("--role", type=Role, choices=list(Role), default=Role.USER)
    command("list", _list, "show every user with its keys (never the secrets)")
    key = command("key", _add_key, "make one more key of a user")
    key.add_argument("name")
    key.add_argument("--days", type=_amount, help="days until it ends (default: never)")
    rotate = command("rotate", _rotate, "replace a key by a new one")
    rotate.add_argument("key", help="the readable prefix of the key")
    rotate.add_argument(
        "--grace-h", type=_amount, default=24.0, help="hours the old key stays valid (default 24)"
    )
    revoke = command("revoke", _revoke, "end a key at once")
    revoke.add_argument("key", help="the readable prefix of the key")
    change = command("change", _change, "change a user's role or quotas, disable or enable it")
    change.add_argument("name")
    change.add_argument("--role", type=Role, choices=list(Role))
    change.add_argument("--disabled", action=argparse.BooleanOptionalAction)
    change.add_argument("--jobs-per-minute", type=_natural)
    change.add_argument("--concurrent-jobs", type=_natural)
    change.add_argument("--usd-per-day", type=_amount)
    secret = command("webhook-secret", _webhook_secret, "show the secret that signs a user's callbacks")
    secret.add_argument("name")
    secret.add_argument("--new", action="store_true", help="replace it; the old one ends at once")
    develop = command("develop", _develop, "keep a developer's key in a file, and print it when it is new")
    develop.add_argument("--key-file", type=Path, required=True)
    return parser


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number <= _LARGEST_AMOUNT:
        raise ValueError(text)
    return number


def _day(moment: datetime | None) -> str:
    return moment.date().isoformat() if moment else "never"


def _show(key: str) -> None:
    _say("the key, shown only this once:")
    _say(key)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
