"""The command line: one module a verb."""


def main() -> None:
    """Entry point of `shoal`."""
