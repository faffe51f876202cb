"""The console command. All is imported inside the guard, so that Ctrl+C is quiet from the first moment."""

import sys


def start() -> int:
    """Run the command line; return its exit code, 130 where it was stopped before it had begun."""
    try:
        from appliance.cli.main import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(start())
