"""python -m dynctl_agent --config BASE64(JSON)"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .common.log import log
from .job.config import Config, take_credentials

if TYPE_CHECKING:
    from .job.agent import Agent


def main() -> int:
    """Run the agent; the exit code says how it ended."""
    parser = argparse.ArgumentParser(prog="dynctl_agent")
    parser.add_argument("--config", required=True, help="base64 of the JSON in docs/protocol.md")
    try:
        config = Config.decode(parser.parse_args().config, take_credentials(os.environ))
    except ValueError as err:
        log("error", "bad --config", error=str(err))
        return 2
    from .job.ray_api import connect

    connect(config.ray_namespace)
    from .job.agent import Agent

    try:
        return asyncio.run(run(Agent, config))
    except Exception as err:
        log("error", "the agent failed", error=repr(err))
        return 1


async def run(agent_class: Callable[[Config], Agent], config: Config) -> int:
    """Make the agent on the loop that it runs on."""
    return await agent_class(config).run()


if __name__ == "__main__":
    # Threads that wait for Ray would hold up the end for as long as they wait.
    code = main()
    sys.stdout.flush()
    os._exit(code)
