"""Procedural streams of video with questions, and a small model trained on them."""
