"""The ways in: how a call reaches both us and the assistant."""
