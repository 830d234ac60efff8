"""xkd: cross-modal and cross-architecture knowledge distillation."""

__version__ = "0.1.0.dev0"
