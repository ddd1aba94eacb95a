#!/usr/bin/env python3
"""higgins chat on a real (pseudo) terminal: terminal.py HIGGINS MODEL STATE_FOLDER OPTION... Prints one line for each thing that
did not happen; no output is success. With the options an answer never ends by itself."""
import os
import pty
import select
import sys
import termios
import time

higgins, model, state, *options = sys.argv[1:]
env = dict(os.environ, XDG_STATE_HOME=state, TERM="xterm", LC_ALL="C.UTF-8")


class Terminal:
    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(higgins, [higgins, "chat", model, *options, *args], env)
        self.seen = b""

    def type(self, text):
        """At a prompt, which is shown a moment before keys are read one by one."""
        until = time.time() + 20
        while termios.tcgetattr(self.fd)[3] & termios.ICANON:
            if time.time() > until:
                print(f"no key is read before {text!r}")
                return
            time.sleep(0.005)
        self.press(text)

    def press(self, text):
        self.seen = b""
        os.write(self.fd, text.encode())

    def expect(self, what, text, seconds=20):
        """Reads until the text has come."""
        until = time.time() + seconds
        while text.encode() not in self.seen:
            left = until - time.time()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                print(f"{what}: \"{text}\" did not come, but {self.seen[-300:]!r}")
                return False
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                print(f"{what}: the program ended behind {self.seen[-300:]!r}")
                return False
        return True

    def expect_answer(self, what, question):
        """Reads until something has come behind the line that was typed."""
        while self.seen.partition(question.encode())[2].strip() == b"":
            if not select.select([self.fd], [], [], 20)[0]:
                print(f"{what}: nothing came behind {self.seen[-300:]!r}")
                return
            self.seen += os.read(self.fd, 65536)

    def end(self, what, code):
        for _ in range(200):
            try:
                while select.select([self.fd], [], [], 0)[0] and os.read(self.fd, 65536):
                    pass
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                if os.waitstatus_to_exitcode(status) != code:
                    print(f"{what}: exit code {os.waitstatus_to_exitcode(status)}, not {code}")
                return
            time.sleep(0.05)
        os.kill(self.pid, 9)
        print(f"{what}: did not end")


t = Terminal()
t.expect("greeting", "/help lists commands")
t.expect("prompt", "> ")
t.type("tell me\r")
t.expect("the line is shown", "tell me")
t.expect_answer("the answer begins", "tell me")
t.press("\x03")  # in mid-answer: stops it
t.expect("Ctrl-C stops the answer", "[stopped]")
t.expect("and not the program", "> ")
t.type("/system\r")
t.expect("a command", "[system message: none]")
t.expect("prompt again", "> ")
t.type("half a line\x03")
t.expect("Ctrl-C drops a line", "^C")
t.expect("and asks anew", "> ")
t.type("one \\\r")
t.expect("a line to go on with", ". ")
t.type("\x03")
t.expect("which can be dropped", "> ")
t.type("\x03")
t.expect("Ctrl-C at an empty prompt", "ends the chat]")
t.type("\x03")
t.end("a second one ends the chat", 0)

t = Terminal("--max-tokens", "4")
t.expect("prompt", "> ")
t.type("\x1b[A")  # arrow up: the last run's history
t.expect("history is kept", "one")
t.type("\x03")
t.expect("prompt", "> ")
t.type("\x04")
t.end("Ctrl-D ends the chat", 0)

history = open(state + "/higgins/chat_history", encoding="utf-8").read()
if "tell" not in history:
    print(f"the history file holds {history!r}")
