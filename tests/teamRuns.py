"""Commands of the program one after the other in one start of torchrun, whose starts are slow.

torchrun --nproc-per-node 2 teamRuns.py '["--dataset digits ...", ...]'
"""

import json
import shlex
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import commands

    import parallel
    from main import main

    take_leave, parallel.part = parallel.part, lambda: None  # the next command needs the others
    with commands.drawing(False):
        for line in json.loads(sys.argv[1]):
            status = main(shlex.split(line))
            if status:
                sys.exit(status)
    take_leave()
