"""Makes `python -m quintet` run the same command line as `quintet`."""

from quintet.cli import main

if __name__ == "__main__":
    main()
