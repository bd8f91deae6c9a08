"""`python -m postroad.cli`: the same as the `postroad` command."""

from postroad.cli import main

main()
