"""``imagery``, also ``python -m imagery_client``."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace

from imagery_client.api import ApiClient
from imagery_client.arguments import parser
from imagery_client.commands import Commands
from imagery_client.errors import ClientError, ExitCode
from imagery_client.output import Output
from imagery_client.settings import ClientSettings, choose_target

# most that one call may take
_CALL_S = 60.0


def main(arguments: list[str]) -> int:
    """Run one command. Returns its exit code."""
    chosen = parser().parse_args(arguments)
    output = Output(is_json=getattr(chosen, "json", False))
    job_ids: list[str] = []
    try:
        return int(asyncio.run(_run(chosen, output, job_ids)))
    except ClientError as error:
        output.complain(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        if chosen.command == "submit":
            output.note("The same command again sends what is missing, and pays nothing twice.", "yellow")
        if job_ids:
            output.note(f"The jobs go on. To follow them: imagery watch {' '.join(job_ids)}", "yellow")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # the reader closed the pipe; Python must not complain about it when it flushes stdout at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)


async def _run(chosen: Namespace, output: Output, job_ids: list[str]) -> ExitCode:
    settings = ClientSettings.from_environment()
    target = choose_target(settings, getattr(chosen, "url", None), getattr(chosen, "key", None))
    async with ApiClient(target, _CALL_S, output.note) as api:
        command = getattr(Commands(api, output, chosen, job_ids), chosen.command)
        done: ExitCode = await command()
        return done


def run() -> None:
    """The ``imagery`` command."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
