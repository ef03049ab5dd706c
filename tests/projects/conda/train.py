"""Says how many iterations it was asked for."""

import sys

print("iterations", sys.argv[1])
