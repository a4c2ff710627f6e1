"""`python -m adtally`, the same as `adtally`."""

from adtally.cli.main import main

main()
