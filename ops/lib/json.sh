# shellcheck shell=bash
# Reading the JSON that the command line prints with --json.

# json EXPRESSION: prints a Python expression's value, in which `it` is the document on standard input; for a list an
# element a line, for None nothing.
json() {
    python3 -c '
import json, sys
it = json.load(sys.stdin)
value = eval(sys.argv[1])
for line in value if isinstance(value, list) else [value]:
    if line is not None:
        print(line)
' "$1"
}
