"""``python -m hoopjump.daemon``."""

from hoopjump.daemon.main import main

main()
