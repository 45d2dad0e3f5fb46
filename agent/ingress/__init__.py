"""What comes in: one listening port, and the lines on which callers' audio arrives."""
