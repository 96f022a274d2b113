"""The command line: one module a verb.

`main` turns every `ShoalError` into a message on standard error and its documented exit code; a user's mistake never
shows a traceback. Verbs import the rest of the house when they run, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys

from shoal.errors import InvalidInput, ShoalError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it (128 + SIGINT)."""


def main() -> None:
    """Entry point of `shoal`."""
    from shoal.cli.app import app

    try:
        app(standalone_mode=True)
    except InvalidInput as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        count = len(error.problems)
        if count > 1:
            print(f"{count} problems", file=sys.stderr)
        sys.exit(error.exit_code)
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as error:
        if error.code == INTERRUPTED:
            print("interrupted: what was acknowledged is kept; the same command goes on from there", file=sys.stderr)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
