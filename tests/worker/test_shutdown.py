"""Signals to a worker's process."""

import signal
import subprocess
import sys
import textwrap

SCRIPT = textwrap.dedent(
    """
    import threading
    from worker.shutdown import Shutdown
    shutdown = Shutdown()
    shutdown.on_signals()
    print("ready", flush=True)
    while not shutdown.asked:
        shutdown.wait(60)
    print("asked", flush=True)
    threading.Event().wait(60)
    """
)


def test_the_first_signal_asks_and_the_second_one_ends_the_process():
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 128 + signal.SIGINT
