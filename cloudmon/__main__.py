"""``python -m cloudmon``: the same as the command ``cloudmon``."""

from cloudmon.cli.app import main

if __name__ == "__main__":
    main()
