"""``python -m compuerta`` is the command ``compuerta``."""

from .cli import main

if __name__ == "__main__":
    main()
