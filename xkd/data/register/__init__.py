"""One transformation from one fixed camera to another, estimated from many pairs."""

from xkd.data.register.run import RegistrationResult, register_pairs
from xkd.data.register.store import store

__all__ = ["RegistrationResult", "register_pairs", "store"]
