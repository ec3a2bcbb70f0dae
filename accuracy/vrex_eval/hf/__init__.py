"""Any method as the attention of a Hugging Face model: ``pip install 'vrex[hf]'``."""

from vrex_eval.hf.attach import Attached, attach

__all__ = ["Attached", "attach"]
