"""`python -m mtmd_cli`: the same as the console script."""

from mtmd_cli.cli.main import main

if __name__ == "__main__":
    main()
