"""What asks a service to end, once its calls have finished."""

import signal
from typing import Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""From whoever manages it; Ctrl-C; and the terminal it was started in, which was closed."""
