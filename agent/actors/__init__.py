"""One loop each: take one, call the core, hand one on. They talk over the bounded channels of `channels.py` alone."""
