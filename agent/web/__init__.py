"""Webhooks, pages and streams of events: everything on the port that is not a caller's line."""
