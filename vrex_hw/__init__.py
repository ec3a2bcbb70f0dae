"""V-Rex in Amaranth: configuration, units, generator. Nothing here imports torch."""
