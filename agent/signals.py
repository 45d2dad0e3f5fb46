"""What asks a service to end, once its calls have finished."""

import signal
from typing import Final

HANG_UP: Final = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
"""The terminal it was started in was closed, unless `nohup` or the like has said that this means nothing."""
STOPS: Final = (signal.SIGTERM, signal.SIGINT, *HANG_UP)
"""From whoever manages it; Ctrl-C; its terminal."""
