"""`bank-node run`."""

from __future__ import annotations

import gc
import signal
import threading

import click

from bank_node.cli.common import command_errors, configure_logging, home_option
from bank_node.home import AgentLock, Home


@click.command()
@click.option("--once", is_flag=True, help="Do what is owed now, then end.")
@home_option
@command_errors
def run(once: bool, home: Home) -> None:
    """Run the agent: ask the service what is owed, do it, ask again. SIGTERM finishes the step in hand.

    \b
    Example:
      bank-node run --home /var/lib/bank-node
    """
    from bank_node.agent import Agent  # noqa: PLC0415  # `--help` answers without it
    from bank_node.in_force import InForce  # noqa: PLC0415
    from bank_node.opening import open_node  # noqa: PLC0415
    from bank_node.participations import Participations  # noqa: PLC0415
    from bank_node.settings import load_settings  # noqa: PLC0415
    from bank_node.warm_up import warm_up  # noqa: PLC0415

    home.require_enrolled()
    settings = load_settings(home)
    configure_logging(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with AgentLock(home) as lock, open_node(home, stop=stop, settings=settings) as node:
        lock.sweep()

        def end(*_: object) -> None:
            stop.set()
            node.client.end_long_poll()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        if not once:
            warm_up()
            # Nothing that is loaded by now will be garbage.
            gc.collect()
            gc.freeze()
        agent = Agent(
            node.client, Participations(node), node.board, stop=stop, long_poll_s=settings.long_poll_s,
            in_force=InForce(home.models, node.disk), clock=node.clock,
        )  # fmt: skip
        agent.run(once=once)
