"""`python -m xkd COMMAND ...` is `xkd COMMAND ...`."""

from xkd.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
