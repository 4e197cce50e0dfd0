"""Runs a program on a terminal of its own, types lines to it one by one, prints all it said.

    on-a-terminal.py PROMPT PROGRAM ARGUMENT… <lines

A line is typed when PROMPT has been seen again; after the last line the program has to end
by itself. Exits with its code, or 124 when it is silent for 20 s.
"""

import os
import pty
import select
import sys

SILENCE_S = 20


def main():
    prompt, command = sys.argv[1].encode(), sys.argv[2:]
    lines = sys.stdin.buffer.read().splitlines()
    child, terminal = pty.fork()
    if child == 0:
        # A terminal without any ability, so that nothing is drawn between the lines.
        os.environ["TERM"] = "dumb"
        os.execvp(command[0], command)
    said, seen = b"", 0
    while True:
        readable, _, _ = select.select([terminal], [], [], SILENCE_S)
        if not readable:
            os.kill(child, 9)
            break
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            chunk = b""
        if not chunk:
            break
        said += chunk
        while lines and (found := said.find(prompt, seen)) >= 0:
            seen = found + len(prompt)
            os.write(terminal, lines.pop(0) + b"\n")
    sys.stdout.buffer.write(said.replace(b"\r\n", b"\n"))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(124 if code == -9 else code)


main()
