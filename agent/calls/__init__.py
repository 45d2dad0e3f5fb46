"""One call as a tree of actors, and the directory of all live calls."""
