"""`python -m workers`: one worker."""

from workers.process import main

main()
