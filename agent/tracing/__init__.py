"""Traces of calls for OpenTelemetry, where somebody collects them: an extra, and off unless asked for."""
