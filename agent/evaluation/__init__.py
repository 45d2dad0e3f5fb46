"""How well an engine hears: recordings through the telephone, and what is said about them."""
