"""A trained student without xkd: export."""
