"""A command of the command line that kills itself where a test wants it.

`python -m support.command_child POINT AFTER COMMAND...`
"""

import sys

from adtally.cli.main import main
from support.lake_child import kill_at

if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    del sys.argv[1:3]
    main()
