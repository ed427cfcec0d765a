# SPDX-License-Identifier: BSD-3-Clause
"""A real NIC driver that guests share, each with a queue that is filled from its own memory.

    zcnet-guest x2 -- vhost-user -- zcnet -- driver, VMDq, IOMMU -- NIC of QEMU | tap -- zcnet-wire x2
"""
import socket

import nicvm
from nicvm import Fail, Wire, wait_for
from steps import BUFFERS, share, timed

FRAMES = 2000
FEW = 200
RATE = 500          # to each guest; the NIC's ring bridges a second of a busy machine
ALL = "ff:ff:ff:ff:ff:ff"
MAC = ["02:00:00:00:01:00", "02:00:00:00:01:01"]
VLAN = 7

CONFIG = """
[port nic0]
type = ethdev
device = {address}
queues = 3
rx-desc = 512
""" + "".join(f"""
[port guest{i}]
type = vhost
path = /tmp/guest{i}.sock
rx-full = wait
queues = 2

[connect c{i}]
a = guest{i}
b = nic0
mac = {mac}
""" for i, mac in enumerate(MAC))


def begin(machine, i, mode, *words, dst=None):
    machine.guest_begin("--queues", 2, "--peer-queues", 1, "--ring-size", 1024, "--dst",
                        dst or MAC[i], *BUFFERS[2048], "--timeout", 30000, *words, mode,
                        port=f"guest{i}", mapped=False)


def steered(machine, *guests):
    for i in guests:
        wait_for(f"a queue for guest{i}",
                 lambda i=i: machine.ask(f"/zcnet/conn/info,c{i}")["own_queue"] == i + 1, 20)
    # The NIC was restarted for them, and their memory is mapped for DMA in its own time.
    wait_for("link of the NIC", lambda: machine.info("nic0")["link_up"], 20)
    for i in guests:
        wait_for(f"buffers of guest{i}", lambda i=i: machine.info(f"guest{i}")["zerocopy_rx"], 40)


def gone(machine, i):
    wait_for(f"guest{i} gone", lambda: not machine.info(f"guest{i}")["link_up"], 20)


def end(machine, i, count):
    """Of one that was to get so many frames and no others."""
    result = machine.guest_end(f"guest{i}")
    wrong = {key: result[key] for key in ("lost", "altered", "reordered", "foreign", "bad_header",
                                          "out_of_order") if result[key]}
    if wrong or result["frames"] != count:
        raise Fail(f"guest{i}: {count} frames were sent to it: {result}")
    gone(machine, i)
    return result


def queue(machine, i, index):
    return machine.ask(f"/zcnet/queue/stats,guest{i},tx,{index}")


def in_place(machine, i, before, count):
    """All of them came by the guest's own queue, and but for its first buffers without a copy."""
    after = queue(machine, i, 1)
    moved = {key: after[key] - before[key] for key in after if isinstance(after[key], int)}
    bounces = 512
    if moved["frames"] != count or share(f"to guest{i}", moved, bounces) < 99:
        raise Fail(f"to guest{i}'s own queue, of {count}: {moved}")


def delivered(machine, before, count):
    """Both have all: the first that goes stops the NIC for the other."""
    for i in range(2):
        wait_for(f"{count} frames for guest{i}", lambda i=i:
                 queue(machine, i, 1)["frames"] >= before[i]["frames"] + count, 60)


def send(r, *senders):
    """Frames at the same time: (destination, seed, count)."""
    wires = [Wire(r, "--dst", dst, "--seed", seed, "--send", count, "--rate", RATE)
             for dst, seed, count in senders]
    for wire in wires:
        wire.end()


def receive(machine, r):
    """Both at once, each its own frames, all in place; a stranger's are counted."""
    before = [queue(machine, i, 1) for i in range(2)]
    strangers = machine.stats("nic0")["rx"]["drop_no_member"]
    for i in range(2):
        begin(machine, i, "verify", "--seed", i, "--count", FRAMES, "--hold")
    steered(machine, 0, 1)
    send(r, *((MAC[i], i, FRAMES) for i in range(2)), ("02:00:00:00:01:99", 9, FEW))
    wait_for("the stranger's frames", lambda: machine.stats("nic0")["rx"]["drop_no_member"] >=
             strangers + FEW, 20)
    delivered(machine, before, FRAMES)
    for i in range(2):
        end(machine, i, FRAMES)
        in_place(machine, i, before[i], FRAMES)


def broadcasts(machine, r):
    """One each, not two: the NIC copies them to the queues."""
    before = [queue(machine, i, 1) for i in range(2)]
    for i in range(2):
        begin(machine, i, "verify", "--seed", 7, "--count", FEW, "--hold", dst=ALL)
    steered(machine, 0, 1)
    send(r, (ALL, 7, FEW))
    delivered(machine, before, FEW)
    for i in range(2):
        end(machine, i, FEW)


def talk(machine, r):
    """Both ways; what a guest sends leaves by the common queue and by its own."""
    begin(machine, 1, "both", "--seed", 5, "--peer-seed", 7, "--count", FRAMES, "--window", 0,
          "--rate", RATE, "--hold")
    steered(machine, 1)
    wire = Wire(r, "--dst", MAC[1], "--seed", 7, "--peer-seed", 5, "--send", FRAMES,
                "--expect", FRAMES, "--queues", 2, "--window", 48, "--timeout", 30000)
    machine.guest_go("guest1")
    end(machine, 1, FRAMES)
    wire.end()


def tagged(machine, _r):
    """The NIC takes the tag out and leaves these frames to the host: they come with the tag."""
    begin(machine, 0, "verify", "--hold", "--count", 1)
    steered(machine, 0)
    before = queue(machine, 0, 0)
    frame = bytes.fromhex(MAC[0].replace(":", "") + "020000000001" + "8100") + VLAN.to_bytes(2, "big")
    frame = (frame + b"\x88\xb6").ljust(100, b"\0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((nicvm.TAP, 0))
        for _ in range(FEW):
            wire.send(frame)
    wait_for("frames with a tag", lambda: queue(machine, 0, 0)["frames"] == before["frames"] + FEW,
             20)
    size = queue(machine, 0, 0)["bytes"] - before["bytes"]
    if size != FEW * len(frame):
        raise Fail(f"{FEW} frames of {len(frame)} bytes came as {size}")
    machine.guest_kill(port="guest0")
    gone(machine, 0)


def killed(machine, r, times=2):
    """One dies under traffic and comes back; the other one's queue stays its own."""
    begin(machine, 0, "verify", "--hold", "--count", 1)
    wires = [Wire(r, "--dst", MAC[i], "--seed", i, "--send", 1000000, "--rate", RATE)
             for i in range(2)]
    for _ in range(times):
        begin(machine, 1, "both", "--seed", 1, "--count", 1000000, "--window", 0)
        steered(machine, 0, 1)
        before = queue(machine, 1, 1)["zc_frames"]
        wait_for("frames in place", lambda: queue(machine, 1, 1)["zc_frames"] > before + 50, 20)
        machine.guest_kill(port="guest1")
        gone(machine, 1)
        if machine.stats("guest1")["rx"]["out"]:
            raise Fail("buffers of a guest that is gone are out")
    for wire in wires:
        wire.stop()
    machine.guest_kill(port="guest0")
    gone(machine, 0)


def nothing_misled(machine, _r):
    wrong = machine.stats("nic0")["rx"]["drop_wrong_queue"]
    if wrong:
        raise Fail(f"{wrong} frames came by another guest's queue")


def steps():
    """All of it, each saying how long it takes."""
    def said(step):
        def run(machine, r):
            with timed(f"shared: {step.__name__}"):
                step(machine, r)
        return run
    return [(said(step),) for step in (receive, broadcasts, talk, tagged, killed, nothing_misled)]
