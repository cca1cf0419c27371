"""``python -m imagery_client``."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace

from pydantic import ValidationError

from imagery_client.api import Api
from imagery_client.arguments import parser
from imagery_client.commands import Session
from imagery_client.errors import CliError, Exit
from imagery_client.output import Output
from imagery_client.settings import CliSettings, choose_target


def main(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    chosen = parser().parse_args(arguments)
    output = Output(is_json=getattr(chosen, "json", False))
    sent: list[str] = []
    try:
        return int(asyncio.run(_run(chosen, output, sent)))
    except CliError as error:
        output.complain(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        if chosen.command == "submit":
            output.note("The same command again sends what is missing, and pays nothing twice.", "yellow")
        if sent:
            output.note(f"The jobs go on: python -m imagery_client watch {' '.join(sent)}", "yellow")
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # whoever read the output has had enough; python must not complain about it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.FAILED)


async def _run(chosen: Namespace, output: Output, sent: list[str]) -> Exit:
    try:
        settings = CliSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"IMAGERY_{'_'.join(map(str, first['loc']))}".upper()
        raise CliError("Wrong setting", f"{name}: {first['msg']}") from None
    target = choose_target(settings, getattr(chosen, "url", None), getattr(chosen, "key", None))
    async with Api(target, settings, output.note) as api:
        session = Session(api, settings, output, chosen, sent)
        done: Exit = await getattr(session, chosen.command)()
        return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
