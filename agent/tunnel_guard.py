"""Runs one command for as long as somebody holds our standard input open, and ends it then.

`callmood dev` starts its tunnel through this, so that the tunnel dies with it even when it is killed and can say
nothing any more: the system closes the pipe. Run by its path with `python -I`; the standard library only.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_S = 3.0
"""What the command has between being asked to end and being ended."""


def main() -> int:
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ending.set())
    try:
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot be started: {error.strerror}", file=sys.stderr)
        return 127
    threading.Thread(target=watch_input, args=(ending,), daemon=True).start()
    threading.Thread(target=end_when_asked, args=(child, ending), daemon=True).start()
    return child.wait()


def watch_input(ending: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    ending.set()


def end_when_asked(child: "subprocess.Popen[bytes]", ending: threading.Event) -> None:
    ending.wait()
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    code = main()
    sys.exit(code if code >= 0 else 128 - code)
