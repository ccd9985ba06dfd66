"""One command for the whole service: broker, predict worker, train worker, beat and web under one parent process.

`python -m recognizer.supervisor` starts them in order and stops them in reverse. Standard library only, apart from the
broker's program: what watches the others must stay small, and must start before Django does.
"""
