"""The local engine's model, made from recordings: read, sent through the telephone, heard, fitted, calibrated, written.

Needs nothing but numpy: what trains is what runs.
"""
