"""The command line: a module a noun, each command a thin call of a service, its answer for people or as JSON.

Exit codes: 0 done, 1 it could not be done (or a check failed), 2 the command itself is wrong. Imports stay
inside functions where a command does not need them: `postroad --help` must be there at once.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit."""
    from postroad.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
