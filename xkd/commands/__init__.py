"""The commands of `xkd` and `tools/`: argparse and one call each."""
