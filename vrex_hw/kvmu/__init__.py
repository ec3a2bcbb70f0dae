"""KV cache management unit: where every token lies, what stays, and what the host link moves."""
