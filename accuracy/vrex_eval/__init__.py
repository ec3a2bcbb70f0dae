"""How well ReSV and its rivals find what matters: one interface, every method."""
