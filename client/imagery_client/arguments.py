"""The grammar of the command line, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from imagery_client import __version__
from imagery_client.download import FILES, SOURCE
from imagery_client.model import AspectRatio, ImageSize, JobOutput, JobState, LogLevel, Stage, ThinkingLevel

_MOST_ROWS = 10_000
_MOST_PARALLEL = 64
_MOST_USD = 100_000
_ADDRESS = """where it calls:
  --url, else IMAGERY_URL, else the stack that runs here (.run/state.json);
  --key, else IMAGERY_API_KEY, else the key of the stack that runs here"""
_EXIT_CODES = """exit codes:
  0    done; with watch and submit: every job COMPLETED
  1    a job FAILED, was REJECTED or CANCELLED, a photo was refused, or a file's credentials are broken
  2    the command, the key or a job's id is wrong
  3    the API can't be reached
  130  ended with Ctrl-C; jobs that were sent go on"""
_EXAMPLES = """examples:
  imagery submit photo.jpg --prompt 'on a marble counter' --out results
  imagery submit photos/ 'more/*.jpg' --no-watch
  imagery jobs --state FAILED --json
  imagery logs --job JOB --follow"""

AddCommand = Callable[[str, str, str], argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """The parser of all commands. ``command`` of its result names a method of ``Commands``."""
    common = _common()
    root = argparse.ArgumentParser(
        prog="imagery",
        description="Send photos through the imagery pipeline and watch their jobs, here or in the cloud.",
        epilog=f"{_EXAMPLES}\n\n{_ADDRESS}\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    root.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")

    def add(name: str, summary: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"examples:\n{examples}\n\n{_EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )

    _submit(add)
    _watch(add)
    _jobs(add)
    _logs(add)
    for name, summary in {
        "cancel": "stop jobs before their next stage; nothing is paid afterwards",
        "retry": "run FAILED or CANCELLED jobs again from the stage that ended them",
    }.items():
        _each_job(add(name, summary, f"  imagery {name} JOB"))
    _download(add)
    verify = add(
        "verify",
        "show what files say of where they come from (Content Credentials)",
        "  imagery verify picture.png\n  imagery verify *.jpg --json | jq -r 'select(.says_ai) | .file'",
    )
    verify.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files of any kind")
    spend = add("spend", "show what was paid, what was not, and why", "  imagery spend --days 7")
    spend.add_argument("--days", type=_number(1, 400), default=30, metavar="N", help="days back (default 30)")
    return root


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--url", help="base URL of the API")
    common.add_argument("--key", help="API key; IMAGERY_API_KEY is safer, others can read command lines")
    common.add_argument("--json", action="store_true", help="print one JSON object a line, for scripts")
    return common


def _submit(add: AddCommand) -> None:
    submit = add(
        "submit",
        "send photos and watch their jobs",
        "  imagery submit photo.jpg --out results\n"
        "  imagery submit photos/ --aspect-ratio 16:9 --image-size 2K\n"
        "  imagery submit photos/ --image-size 4K --dry-run\n"
        "  imagery submit photos/ --output cutout --out results\n"
        "  imagery submit '*.jpg' --no-watch --json | jq -r .job_id\n\n"
        "The Idempotency-Key is made from the photo's content and its options: the same command again,\n"
        "after Ctrl-C or a lost connection, finds the jobs of the first one and pays nothing twice.",
    )
    submit.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders, quoted patterns")
    submit.add_argument(
        "--output", choices=list(JobOutput), help="what is made (default scene); all others cost nothing"
    )
    submit.add_argument("--prompt", metavar="TEXT", help="the scene in which the cut-out is placed")
    submit.add_argument("--aspect-ratio", choices=list(AspectRatio), help="of the placed picture")
    submit.add_argument("--image-size", choices=list(ImageSize), help="size class of the placed picture")
    submit.add_argument("--thinking-level", choices=list(ThinkingLevel), help="how long the model thinks")
    submit.add_argument(
        "--seed", type=_number(0, 2**31 - 1), metavar="N", help="makes the same picture likelier next time"
    )
    submit.add_argument(
        "--max-usd",
        type=_usd,
        metavar="USD",
        help="send nothing if the pictures may cost more than this together; no job pays more than its share",
    )
    submit.add_argument(
        "--dry-run", action="store_true", help="print what the pictures may cost, and send nothing"
    )
    submit.add_argument("--fresh", action="store_true", help="compute, and pay, again")
    submit.add_argument("--callback-url", metavar="URL", help="POST there how the job ended")
    submit.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="follow the jobs until they end (the default)",
    )
    submit.add_argument("--out", type=Path, metavar="DIR", help="write the pictures into DIR/JOB/")
    submit.add_argument(
        "--idempotency-key",
        type=_key,
        metavar="KEY",
        help="use this key instead; with several photos each gets KEY-HASH",
    )
    submit.add_argument(
        "--limit",
        type=_number(1, _MOST_ROWS),
        default=1000,
        metavar="N",
        help="send nothing if there are more photos than this (default 1000)",
    )
    _add_parallel(submit, "uploads")


def _watch(add: AddCommand) -> None:
    _each_job(add("watch", "follow jobs until they end", "  imagery watch JOB JOB"))


def _jobs(add: AddCommand) -> None:
    jobs = add(
        "jobs",
        "list jobs, newest first",
        "  imagery jobs --state RUNNING --state QUEUED\n"
        "  imagery jobs --limit 500 --json | jq -r 'select(.cost_usd > 0) | .job_id'",
    )
    jobs.add_argument(
        "--state", action="append", choices=list(JobState), help="only jobs in this state; may be repeated"
    )
    jobs.add_argument(
        "--limit", type=_number(1, _MOST_ROWS), default=20, metavar="N", help="rows (default 20)"
    )


def _logs(add: AddCommand) -> None:
    logs = add(
        "logs",
        "show what happened, oldest first",
        "  imagery logs --job JOB\n  imagery logs --level error --follow --json",
    )
    logs.add_argument("--job", metavar="JOB", help="only events of this job")
    logs.add_argument("--level", choices=list(LogLevel), help="only events of this level and above")
    logs.add_argument("--stage", choices=list(Stage), help="only events of this stage")
    logs.add_argument("--follow", "-f", action="store_true", help="go on with new events until Ctrl-C")
    begin = logs.add_mutually_exclusive_group()
    begin.add_argument("--after", type=_number(0, 2**31 - 1), metavar="ID", help="only events after this id")
    begin.add_argument(
        "--tail", type=_number(0, _MOST_ROWS), metavar="N", help="begin with the latest N events"
    )
    logs.add_argument(
        "--limit",
        type=_number(1, _MOST_ROWS),
        default=1000,
        metavar="N",
        help="lines without --follow (default 1000)",
    )


def _download(add: AddCommand) -> None:
    download = add(
        "download",
        "save the pictures of jobs as files",
        "  imagery download JOB --out results\n  imagery download JOB --stage rembg",
    )
    _each_job(download)
    download.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="write into DIR/JOB/ (default: here)"
    )
    download.add_argument(
        "--stage",
        action="append",
        choices=[SOURCE, *FILES],
        help="may be repeated; without it every result that exists",
    )
    _add_parallel(download, "downloads")


def _each_job(command: argparse.ArgumentParser) -> None:
    command.add_argument("jobs", nargs="+", metavar="JOB", help="ids of jobs")


def _add_parallel(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--parallel",
        type=_number(1, _MOST_PARALLEL),
        default=4,
        metavar="N",
        help=f"{what} at the same time (default 4)",
    )


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _usd(text: str) -> float:
    try:
        usd = float(text.removeprefix("$"))
    except ValueError:
        usd = -1.0
    if not 0 <= usd <= _MOST_USD:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of USD from 0 to {_MOST_USD}")
    return usd


def _key(text: str) -> str:
    if not 1 <= len(text) <= 180 or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError("a key is 1 to 180 printable ASCII characters")
    return text
