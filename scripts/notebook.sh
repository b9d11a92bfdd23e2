#!/usr/bin/env bash
# Make docs/python.ipynb out of docs/python.md: its text, its code, and what the code prints.
# Needs what requirements-dev.txt lists; takes about 10 s of computation on one thread.
set -euo pipefail
REQUIREMENTS=requirements-dev.txt
source "$(dirname "$0")/environment.sh"
place=$(mktemp -d)  # where the cells leave their results
trap 'rm -rf "$place"' EXIT
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1 "$PYTHON" - "$place" <<'PROGRAM'
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

page = Path("docs/python.md").read_text(encoding="utf-8")
cells = []
for k, part in enumerate(re.split(r"^```python\n(.*?)^```\n", page, flags=re.M | re.S)):
    make = new_code_cell if k % 2 else new_markdown_cell
    cells.append(make(part.strip(), id=f"cell-{k}"))
notebook = new_notebook(cells=cells)
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": sys.argv[1]}}).execute()
for cell in notebook.cells:
    cell.metadata = {}  # of when it was run
notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
nbformat.write(notebook, "docs/python.ipynb")
PROGRAM
