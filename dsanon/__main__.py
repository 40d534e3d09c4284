"""``python -m dsanon`` is ``dsanon``."""

from dsanon.cli import main

if __name__ == "__main__":
    main()
