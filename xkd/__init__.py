"""xkd: cross-modal and cross-architecture knowledge distillation. What it offers is listed, with its types, in `__init__.pyi`."""

import lazy_loader

__version__ = "0.1.0.dev0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
