# SPDX-License-Identifier: BSD-3-Clause
"""What has to be true on every NIC that does DMA, one function each."""
import contextlib
import os
import time

import nicvm
from nicvm import Fail, Machine, Wire, rig, wait_for

FRAMES = 20000
SILENCE_MS = 10
THRESHOLD = 256     # shorter frames of a guest are copied
FITS = 2060         # bytes of a receive buffer that takes every frame of MTU 1500, header included


def difference(before, after, way):
    return {key: after[way][key] - before[way][key] for key in after[way]
            if isinstance(after[way][key], int)}


def share(what, moved):
    """Percent of the frames that went without a copy. What the documentation says is copied, short
    frames and frames in more pieces than the driver sends, is no part of it."""
    wanted = moved["frames"] - moved["copy_segs"] - moved["copy_small"]
    percent = 100 * moved["zc_frames"] / max(1, wanted)
    others = {key: value for key, value in moved.items()
              if value and key.startswith(("copy_", "drop_"))}
    print(f"  {what}: {moved['frames']} frames, {percent:.2f} % of {wanted} without a copy, "
          f"{others}", flush=True)
    return percent


@contextlib.contextmanager
def timed(what):
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


def exchange(machine, r, count=FRAMES, shortest=60, longest=1514, least=99.0, guest=()):
    """Frames both ways at once, none without an answer for long; every byte is compared."""
    sizes = "--min", shortest, "--max", longest, "--count", count
    pace = "--window", 48, "--timeout", 20000
    before = machine.stats()
    with timed(f"{count} frames of {shortest} to {longest} bytes each way"):
        machine.guest_begin("--seed", 5, "--peer-seed", 7, *sizes, *pace, "--hold",
                            "--ring-size", 1024, "--bufsize", FITS, *guest, "both")
        wire = Wire(r, "--seed", 7, "--peer-seed", 5, *sizes[:4], *pace, "--send", count,
                    "--expect", count)
        machine.guest_go()
        result = machine.guest_end()
        wire.end()
    after = machine.stats()
    for what, way in ("guest to NIC", "rx"), ("NIC to guest", "tx"):
        moved = difference(before, after, way)
        percent = share(what, moved)
        if moved["frames"] < count:
            raise Fail(f"{what}: {moved['frames']} frames counted of {count}")
        if least is not None and percent < least:
            raise Fail(f"{what}: only {percent:.2f} % of the frames without a copy")
        short = count * max(0, THRESHOLD - shortest) / (longest - shortest + 1)
        if moved["copy_small"] > 1.2 * short + 50:
            raise Fail(f"{what}: {moved['copy_small']} copied for being short, not about {short}")
    return result


def return_times(machine, size, count):
    """Microseconds until the last buffer of each burst was back, sorted; what the port counted."""
    before = machine.stats()
    machine.guest_begin("--size", size, "--count", count, "--repeat", 20, "--timeout", 20000,
                        "--hold", "burst")
    machine.guest_end()
    lines = machine.run("grep burst /tmp/guest.out").splitlines()
    times = sorted(nicvm.json.loads(line)["us"] for line in lines)
    if len(times) != 20:
        raise Fail(f"{len(times)} bursts of 20: {times}")
    return times, difference(before, machine.stats(), "rx")


def silence(machine):
    """The last frames before silence: their buffers are back in time, nothing follows them.

    An emulated machine whose CPUs outnumber the real ones adds time of its own, often more than the
    limit. So copied frames, whose buffers wait for no NIC, say what to add to it.
    """
    for count in 1, 7, 31:
        copied, _ = return_times(machine, 100, count)
        times, moved = return_times(machine, 1000, count)
        print(f"silence after {count}: buffers back after {times[0]} to {times[-1]} us, median "
              f"{times[10]}; copied {copied[0]} to {copied[-1]}, median {copied[10]}", flush=True)
        if share("those", moved) < 99:
            raise Fail(f"silence after {count}: {moved}")
        if times[10] > copied[10] + SILENCE_MS * 1000:
            raise Fail(f"silence after {count}: not within {SILENCE_MS} ms: {times}, {copied}")


def killed(machine, r):
    for seconds in 1, 2:
        machine.guest_begin("--seconds", 30, "--size", 1400, "flood")
        machine.guest_go()
        time.sleep(seconds)
        machine.run("kill -KILL $(pidof zcnet-guest)")
        wait_for("link down", lambda: not machine.info("guest0")["link_up"], 10)
    print(f"after SIGKILL: {machine.stats()['rx']}", flush=True)
    exchange(machine, r)


def check_faults(machine, known, when):
    new = machine.faults()[known:]
    if new:
        raise Fail(f"{when}: {len(new)} faults of DMA: {new[:4]}")


def proves(nic, aw_bits):
    image = rig.private_network(*nicvm.image_arguments())
    with rig.Rig(f"zc-{nic}") as r:
        machine = Machine(r, image, nic, aw_bits=aw_bits)
        with timed("boot"):
            machine.boot()
        with timed("zcnet"):
            machine.start_zcnet()
        known = len(machine.faults())
        print(f"{nic} at {machine.address}, kernel {machine.kernel}: {machine.info('nic0')}; "
              f"{known} faults while it started: {machine.faults()}", flush=True)
        steps = [lambda: exchange(machine, r), lambda: silence(machine), lambda: killed(machine, r)]
        # Step 2 measures time, which needs a machine with a CPU for each of the virtual one's.
        only = os.environ.get("ZC_STEPS", "02")
        for number, step in enumerate(steps):
            if str(number) not in only:
                continue
            try:
                step()
            except Fail:
                print(machine.info("nic0"), machine.info("guest0"), machine.stats(),
                      machine.stats("nic0"), machine.run("grep -v VHOST_CONFIG /tmp/zcnet.log"),
                      machine.faults()[:6], sep="\n", flush=True)
                raise
            check_faults(machine, known, f"step {number}")
        machine.stop_zcnet()
        check_faults(machine, known, "zcnet's end")
        machine.stop()


def copies_without_iommu(nic):
    image = rig.private_network(*nicvm.image_arguments())
    with rig.Rig(f"zc-{nic}") as r:
        machine = Machine(r, image, nic, iommu=False)
        machine.boot()
        machine.start_zcnet()
        note = machine.info("nic0")["note"]
        print(f"without IOMMU: {note}", flush=True)
        if "no IOMMU" not in note:
            raise Fail(f"without an IOMMU the port says: {note}")
        exchange(machine, r, least=None)
        if machine.stats()["rx"]["zc_frames"]:
            raise Fail("frames without a copy and without an IOMMU")
        machine.stop_zcnet()
        machine.stop()
