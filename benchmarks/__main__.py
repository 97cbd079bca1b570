"""`make bench`: the speed of the features, with the defaults of `benchmarks.features`."""

from benchmarks.features import main

main()
