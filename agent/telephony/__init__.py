"""Carriers: what they send and what we answer, read and written without a socket in sight."""
