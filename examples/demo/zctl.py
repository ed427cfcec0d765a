#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Asks a running DPDK program for its telemetry.

    zctl.py [-p PREFIX] /zcnet/port/list          one answer, as JSON
    zctl.py [-p PREFIX] /zcnet/port/stats,guest0
"""
import argparse
import json
import os
import socket
import sys
import threading


def default_runtime_dir():
    """Where DPDK keeps the files of running programs; the same rule as EAL's."""
    base = os.environ.get("RUNTIME_DIRECTORY")
    if base is None:
        base = "/var/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    return base


class Telemetry:
    """A connection to the telemetry socket of one program."""

    def __init__(self, prefix="rte", runtime_dir=None, timeout=5):
        path = os.path.join(runtime_dir or default_runtime_dir(), "dpdk", prefix,
                            "dpdk_telemetry.v2")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(path)
            hello = json.loads(self.sock.recv(4096))
        except (OSError, ValueError):
            self.sock.close()
            raise
        self.room = hello["max_output_len"]
        self.pid = hello["pid"]
        self.lock = threading.Lock()

    def ask(self, command):
        """The answer to "/path" or "/path,parameter"; None where there is no such thing."""
        with self.lock:
            self.sock.send(command.encode())
            answer = json.loads(self.sock.recv(self.room) or b"{}")
        return next(iter(answer.values()), None)

    def close(self):
        self.sock.close()


def main():
    parser = argparse.ArgumentParser(description="Ask a running DPDK program for its telemetry.")
    parser.add_argument("-p", "--prefix", default="rte", help="its --file-prefix")
    parser.add_argument("command", nargs="+", help="such as / or /zcnet/port/list")
    args = parser.parse_args()
    try:
        telemetry = Telemetry(args.prefix)
        for command in args.command:
            print(json.dumps(telemetry.ask(command), indent=2))
    except OSError as error:
        sys.exit(f"zctl.py: no program with --file-prefix={args.prefix} answers: {error}")


if __name__ == "__main__":
    main()
