"""From recordings on a disk to a data set: layouts find the pairs, `make` splits, measures and writes them."""
