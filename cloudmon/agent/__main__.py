"""``python3 -m cloudmon.agent``, for trials; appliances run the shipped file."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
