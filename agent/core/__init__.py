"""Pure decisions: standard library and numpy only. No trio, no network, no clock; every function of its inputs."""
