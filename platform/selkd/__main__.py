"""`python -m selkd`: the command line where no script is on the path."""

from selkd.cli import main

main()
