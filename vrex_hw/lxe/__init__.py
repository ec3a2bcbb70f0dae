"""The LXE: hash bits, scores and light attention on one engine (paper: LLM execution engine)."""
