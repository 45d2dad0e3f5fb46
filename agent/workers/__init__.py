"""`callmood serve --workers N`: several whole processes on one port, which look like one from outside.

Calls share nothing, so the plain way to use more cores is the whole service several times over. A supervisor
(`supervisor.py`) opens the port and starts N workers on it; whichever worker accepts a connection finds out whose call
it is about (`placing.py`), and where that is another's, hands the open socket over to it (`wire.py`), together with
what has been read of it. From then on it is as if the other had accepted it: a relayed call costs nothing more, and
signatures, limits and answers are those of one place. A call lives in one worker from its beginning to its end.

Who has a call is asked, not remembered by all: a worker that does not know an id asks its siblings, once per id. A call
that nobody has yet begins where a pure function of its id says, so that a webhook that is repeated at the same moment
elsewhere leads to the same place. Workers speak over unix sockets in a folder that nobody else may enter: nothing that
comes in from outside can look like one of their messages, and what was handed over once stays where it is.
"""
