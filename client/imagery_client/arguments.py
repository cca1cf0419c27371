"""The command line's grammar and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from imagery.contracts import AspectRatio, JobState, Stage
from imagery_client.download import FILES, SOURCE

_MOST_ROWS = 10_000
_EXIT_CODES = """exit codes:
  0    done; with watch: every job COMPLETED
  1    a job FAILED, was REJECTED or CANCELLED, or a photo was refused
  2    the command, the key or the job's id is wrong
  3    the API can't be reached
  130  ended with Ctrl-C; jobs that were sent go on

The address is --url, else IMAGERY_URL, else that of the stack that runs here (.run/state.json); the key is
--key, else IMAGERY_API_KEY, else that of the stack that runs here. README.md lists all variables."""
_EXAMPLES = """examples:
  python -m imagery_client submit photo.jpg --prompt 'on a marble counter' --out results
  python -m imagery_client submit photos/ 'more/*.jpg' --no-watch
  python -m imagery_client jobs --state FAILED --json
  python -m imagery_client logs --job JOB --follow

"""


def parser() -> argparse.ArgumentParser:
    """All commands."""
    common = _common()
    root = argparse.ArgumentParser(
        prog="python -m imagery_client",
        description="Send photos through the imagery pipeline and watch them, here or in the cloud.",
        epilog=_EXAMPLES + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"examples:\n{examples}\n\n{_EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )

    _submit(command)
    _watch(command)
    _jobs(command)
    _logs(command)
    for name, summary in {
        "cancel": "stop jobs before their next stage; nothing is paid afterwards",
        "retry": "run FAILED or CANCELLED jobs again from the stage they ended in",
    }.items():
        each = command(name, summary, f"  python -m imagery_client {name} JOB")
        each.add_argument("jobs", nargs="+", metavar="JOB")
    _download(command)
    spend = command(
        "spend", "what was paid, what was not, and why", "  python -m imagery_client spend --days 7"
    )
    spend.add_argument("--days", type=_number(1, 400), default=30, help="days back (default 30)")
    return root


Command = Callable[[str, str, str], argparse.ArgumentParser]


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--url", help="base URL of the API")
    common.add_argument("--key", help="API key; a variable is safer: others can read command lines")
    common.add_argument("--json", action="store_true", help="one JSON object a line, for scripts")
    return common


def _submit(command: Command) -> None:
    submit = command(
        "submit",
        "send photos and watch their jobs",
        "  python -m imagery_client submit photo.jpg --out results\n"
        "  python -m imagery_client submit photos/ --aspect-ratio 16:9 --image-size 2K\n"
        "  python -m imagery_client submit '*.jpg' --no-watch --json | jq -r .job_id\n\n"
        "The Idempotency-Key is made from a photo's content and its options: the same command again, after\n"
        "Ctrl-C or a lost connection, finds the jobs of the first one and pays nothing twice.",
    )
    submit.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders, quoted patterns")
    submit.add_argument("--prompt", help="the scene in which the cut-out is placed")
    submit.add_argument("--aspect-ratio", choices=[each.value for each in AspectRatio])
    submit.add_argument("--image-size", choices=["1K", "2K", "4K"])
    submit.add_argument("--fresh", action="store_true", help="compute, and pay, anew")
    submit.add_argument("--callback-url", help="where to POST how the job ended")
    submit.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="follow the jobs until they end (the default)",
    )
    submit.add_argument("--out", type=Path, metavar="DIR", help="put the pictures into DIR/JOB/")
    submit.add_argument(
        "--idempotency-key",
        type=_key,
        metavar="KEY",
        help="instead of the key made from content and options; of several photos each gets KEY-HASH",
    )


def _watch(command: Command) -> None:
    watch = command("watch", "follow jobs until they end", "  python -m imagery_client watch JOB JOB")
    watch.add_argument("jobs", nargs="+", metavar="JOB")


def _jobs(command: Command) -> None:
    jobs = command(
        "jobs",
        "list jobs, newest first",
        "  python -m imagery_client jobs --state RUNNING --state QUEUED\n"
        "  python -m imagery_client jobs --limit 500 --json | jq -r 'select(.cost_usd > 0) | .job_id'",
    )
    jobs.add_argument(
        "--state", action="append", choices=[each.value for each in JobState], help="may be repeated"
    )
    jobs.add_argument("--limit", type=_number(1, _MOST_ROWS), default=20, help="rows (default 20)")


def _logs(command: Command) -> None:
    logs = command(
        "logs",
        "what happened, oldest first",
        "  python -m imagery_client logs --job JOB\n  python -m imagery_client logs --level error --follow --json",
    )
    logs.add_argument("--job", metavar="JOB", help="of one job")
    logs.add_argument("--level", choices=["debug", "info", "warning", "error"], help="this level and above")
    logs.add_argument("--stage", choices=[each.value for each in Stage])
    logs.add_argument("--follow", "-f", action="store_true", help="and what comes, until Ctrl-C")
    begin = logs.add_mutually_exclusive_group()
    begin.add_argument("--after", type=_number(0, 2**31 - 1), metavar="ID", help="only events behind this id")
    begin.add_argument(
        "--tail", type=_number(0, _MOST_ROWS), metavar="N", help="begin with the latest N events"
    )
    logs.add_argument(
        "--limit", type=_number(1, _MOST_ROWS), default=1000, help="lines without --follow (default 1000)"
    )


def _download(command: Command) -> None:
    download = command(
        "download",
        "the pictures of jobs as files",
        "  python -m imagery_client download JOB --out results\n"
        "  python -m imagery_client download JOB --stage rembg",
    )
    download.add_argument("jobs", nargs="+", metavar="JOB")
    download.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="into DIR/JOB/ (default .)")
    download.add_argument(
        "--stage",
        action="append",
        choices=[SOURCE, *FILES],
        help="may be repeated; without it every result that is there",
    )


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def _key(text: str) -> str:
    if not 1 <= len(text) <= 180 or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError("a key is 1 to 180 printable ASCII characters")
    return text
