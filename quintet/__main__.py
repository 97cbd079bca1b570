"""`python -m quintet` is `quintet`."""

from quintet.cli import main

if __name__ == "__main__":
    main()
