"""The command line: parse, call the library, print. Nothing here imports torch or ray before a command needs them."""

import sys


def main() -> None:
    """Run a command; a user's mistake is one readable error and exit code 2."""
    from selkd.cli.app import app
    from selkd.cli.show import Interrupted, fail
    from selkd.errors import UserError

    try:
        app(standalone_mode=True)
    except UserError as error:
        fail(str(error))
        sys.exit(2)
    except Interrupted:
        fail("interrupted; the same command goes on from the last checkpoint")
        sys.exit(130)
