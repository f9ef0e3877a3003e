"""Speaks the trainer protocol (schema/trainer.md) to a trainer program, for the scripts beside it."""

import json
import os
import pathlib
import subprocess
import sys


class Trainer:
    def __init__(self, program):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True)
        self.hello = self.ask({"type": "hello", "protocol": 1})

    def computed(self):
        """Seconds of computing so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, request):
        """The answer that ends a request."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer["type"] in ("error", "failed"):
                sys.exit(answer["message"])
            if answer["type"] not in ("progress", "epoch"):
                return answer
