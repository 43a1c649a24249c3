"""python3 -m tests.upstream [--port N]: the emulators, by hand."""
import argparse
import signal
import threading

from . import faults
from .fleet import Fleet


def main():
    parser = argparse.ArgumentParser(prog="python3 -m tests.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0,
                        help="first port; each provider takes the next one (default: any free)")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    fleet = Fleet(port=options.port, host=options.host).start()
    for label in fleet.providers:
        print("%-10s %-34s key %s" % (label, fleet.url(label), fleet.key(label)))
    print("\nGET /__control/journal, POST /__control/reset, POST /__control/fault on each port.")
    print("Faults, as model name fault-NAME[-N] or in the control call:")
    for name, text in faults.NAMES.items():
        print("  %-14s %s" % (name, text))
    print(flush=True)
    stopped.wait()
    fleet.stop()


if __name__ == "__main__":
    main()
