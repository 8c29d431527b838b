"""Ctrl-C in processes of their own."""

import signal
import subprocess
import sys
import textwrap

SCRIPT = textwrap.dedent(
    """
    import os, signal, sys, time
    from cli.interrupts import Interrupts
    interrupts = Interrupts()
    hurried = []
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)
        interrupts.stopping(lambda: hurried.append(1))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        time.sleep(0)
    finally:
        interrupts.ignore()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)
    print(len(hurried), flush=True)
    sys.exit(130)
    """
)


def test_one_signal_interrupts_and_many_do_no_more():
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == "3\n"
        assert process.returncode == 130
