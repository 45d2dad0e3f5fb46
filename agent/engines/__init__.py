"""What judges windows of speech; each in a folder or module of its own."""
