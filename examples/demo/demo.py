#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""The demo: a Linux guest behind zcnet, traffic both ways, and what zcnet says about it."""
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "test", "qemu"))
import rig  # noqa: E402

SHARE_WANTED = 95       # percent of the bytes in each direction
SECONDS = 6             # of iperf3 in each direction
FILE_BYTES = 16 << 20
WAYS = "to_guest", "from_guest"


def difference(new, old):
    """Counters of the time between, way by way."""
    return {way: {name: new[way][name] - old[way].get(name, 0)
                  for name in new[way] if isinstance(new[way][name], int)} for way in WAYS}


def percent(value):
    return "-" if value is None else f"{value:.1f} %"


def reasons(counters):
    """Frames copied and dropped, by reason: "small 120  bounce 3"."""
    sums = {}
    for way in WAYS:
        for name, value in counters[way].items():
            if value and name.startswith(("copy_", "drop_")):
                name = name.removeprefix("copy_").replace("_", " ")
                sums[name] = sums.get(name, 0) + value
    return "  ".join(f"{name} {value}" for name, value in sums.items())


class Table:
    """A line each second while it runs: what the switch's telemetry says about that second."""

    def __init__(self, switch):
        self.switch = switch
        self.step = ""
        self.start = self.first = self.last = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        print("""
 time  step                to guest           from guest      cycles/  copied frames
                     Mbit/s  no copy    Mbit/s  no copy    frame  by reason""")
        self.start = time.monotonic()
        self.first = self.last = self.switch.counters()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        print()

    def _run(self):
        then = self.start
        while not self.ended.wait(max(0, then + 1 - time.monotonic())):
            try:
                counters = self.switch.counters()
            except (OSError, ValueError):
                return      # the switch is gone; whoever uses it says so
            now = time.monotonic()
            self._line(counters, now - then)
            then, self.last = now, counters

    def _line(self, counters, seconds):
        moved = difference(counters, self.last)
        columns = ""
        for way in WAYS:
            rate = moved[way]["bytes"] * 8 / seconds / 1e6
            columns += f"{rate:9.0f} {percent(rig.share(moved[way])):>8} "
        frames = counters.get("worker_frames", 0) - self.last.get("worker_frames", 0)
        cycles = (counters["busy_cycles"] - self.last["busy_cycles"]) // frames if frames else "-"
        elapsed = time.monotonic() - self.start
        print(f"{elapsed:4.0f} s  {self.step:<12}{columns}{cycles:>8}  {reasons(moved)}".rstrip(),
              flush=True)


def traffic(guest, table):
    """Every kind of traffic; returns what there is to say about it."""
    results = []
    table.step = "ping"
    rig.wait_ping()
    results.append(f"ping: {rig.ping(5):.2f} ms")
    iperf = rig.Iperf(guest)
    for way in WAYS:
        table.step = "iperf3 " + way.split("_")[0]
        rate = getattr(iperf, way)(SECONDS)
        results.append(f"iperf3 {way.replace('_', ' the ')}: {rate:.2f} Gbit/s")
    table.step = "file to"
    rig.send_file(guest, FILE_BYTES)
    table.step = "file from"
    rig.fetch_file(guest, FILE_BYTES)
    results.append(f"{FILE_BYTES >> 20} MB of random bytes each way: same SHA-256 on both sides")
    return results


def demo(r, image, shell):
    switch = rig.make_switch(r, interactive=shell)
    print(f"starting {switch.name} with net_tap as its NIC")
    if not switch.huge:
        print("fewer than 512 MB of hugepages are free: ordinary memory does, a little slower")
    switch.start()
    print("booting a Linux guest in QEMU: ", end="", flush=True)
    guest = rig.Guest(r, switch, image)
    start = time.monotonic()
    guest.boot()
    print(f"{guest.kernel}, up in {time.monotonic() - start:.1f} s")
    with Table(switch) as table:
        results = traffic(guest, table)
        total = difference(switch.counters(), table.first)

    print(*results, sep="\n")
    good = True
    for way in WAYS:
        without = rig.share(total[way])
        print(f"{way.replace('_', ' the ')}: {total[way]['bytes'] / 1e6:.0f} MB, "
              f"without a copy by {switch.name}: {percent(without)}")
        good = good and (without or 0) >= SHARE_WANTED
    print(f"copied or dropped frames by reason: {reasons(total) or 'none'}\n"
          "The cycles are mostly the tap's: the kernel's network stack runs in its system calls.")
    if shell:
        leave_to_user(switch, guest)
    guest.stop()
    switch.stop()
    if isinstance(switch, rig.Testpmd):
        return
    if not good:
        raise rig.Fail(f"less than {SHARE_WANTED} % of the bytes of a direction went uncopied")
    print(f"demo passed: at least {SHARE_WANTED} % of the bytes in each direction without a copy")


def leave_to_user(switch, guest):
    print(f"""
The guest runs on. From another terminal:
  sudo nsenter -t {os.getpid()} -n ping {rig.GUEST_IP}
  sudo nsenter -t {os.getpid()} -n iperf3 -c {rig.GUEST_IP}     (with -R: from the guest)
This is {switch.name}'s shell; "help" lists the commands, "quit" ends the demo.""", flush=True)
    guest.run("for i in 1 2 3 4; do iperf3 -s -D -p 5201 && break; sleep 0.2; done")
    switch.shell()


def main():
    try:
        image = rig.private_network()
        with rig.Rig("zc-demo") as r:
            demo(r, image, "--shell" in sys.argv[1:])
    except rig.Fail as reason:
        sys.exit(f"demo: {reason}")
    except rig.Skip as reason:
        print(f"demo: {reason}", file=sys.stderr)
        sys.exit(reason.status)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
