#!/usr/bin/env python3
"""Runs a program on a real (pseudo) terminal of so many columns and prints all that it wrote: on_terminal.py COLUMNS PROGRAM ARGUMENT...
Escapes are shown as "^[", and each time the program draws a line anew as a line of its own. Ends with the program's exit code."""
import fcntl
import os
import pty
import struct
import sys
import termios

pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, int(sys.argv[1]), 0, 0))
    os.execvpe(sys.argv[2], sys.argv[2:], dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8"))
seen = b""
while True:
    try:
        part = os.read(fd, 65536)
    except OSError:  # the program has ended
        break
    if not part:
        break
    seen += part
text = seen.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
print(text.replace("\033", "^["))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
