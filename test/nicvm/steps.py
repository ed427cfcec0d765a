# SPDX-License-Identifier: BSD-3-Clause
"""What has to be true on every NIC that does DMA, one function each."""
import contextlib
import json
import os
import time
from random import Random

import nicvm
from nicvm import Crash, Fail, Machine, Wire, rig, wait_for

FRAMES = 20000
SILENCE_MS = 10
SILENCE_TRIES = 10
THRESHOLD = 256     # shorter frames of a guest are copied
# Receive buffers of a guest by the bytes of the first one behind the header.
BUFFERS = {
    1518: ("--mergeable", 0, "--bufsize", 12 + 1518),       # Linux, mergeable off
    1524: ("--bufsize", 12 + 1524),                         # Linux
    2048: ("--bufsize", 12 + 2048),                         # DPDK
    # Linux, mergeable off and GUEST_TSO4 on
    4080: ("--mergeable", 0, "--layout", "linux-big", "--bufsize", 12 + 4080 + 17 * 4096,
           "--slot-bytes", 81920),
    # DPDK, for jumbo frames in one piece. QEMU's NICs drop a piece whose pages aren't beside each
    # other in the machine's memory (seen with e1000e): so none crosses a page of 2 MB.
    16384: ("--hugepages", "--regions", 2, "--slot-bytes", 32768, "--bufsize", 12 + 16384),
}
WINDOW = 1 << 38    # of device addresses that zcnet maps guests at, and as long
DOCUMENT = os.path.join(rig.ROOT, "doc", "zero-copy.md")

# unmaps zcnet's window of device addresses from the VFIO container, by a copy of zcnet's own
# descriptor: pidfd_open, pidfd_getfd, VFIO_IOMMU_UNMAP_DMA
UNMAP = r"""perl -e '$zcnet = shift; $pid = syscall(434, $zcnet + 0, 0);
opendir($fds, "/proc/$zcnet/fd");
for $fd (grep { readlink("/proc/$zcnet/fd/$_") eq "/dev/vfio/vfio" } readdir($fds)) {
    open($vfio, "+<&=", syscall(438, $pid, $fd + 0, 0)) or die "open: $!";
    $range = pack("LLQQ", 24, 0, 1 << 38, 1 << 38);
    ioctl($vfio, 0x3b72, $range) or die "unmap: $!";
    print unpack("x16 Q", $range), " bytes unmapped\n"; }' $(pidof zcnet)"""


def difference(before, after, way):
    return {key: after[way][key] - before[way][key] for key in after[way]
            if isinstance(after[way][key], int)}


def share(what, moved, before_guest=0):
    """Percent of the frames that went without a copy. What the documentation says is copied is no
    part of it: short frames, frames in more pieces than the driver sends, and as many as the NIC
    had buffers of the host before there was a guest."""
    wanted = moved["frames"] - moved["copy_segs"] - moved["copy_small"] - min(
        before_guest, moved["copy_bounce"])
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


def exchange(machine, r, count=FRAMES, longest=1514, shortest=60, least=99.0, buffers=2048,
             guest=(), number=0, seed=5):
    """Frames both ways at once, none without an answer for long; every byte is compared."""
    sizes = "--min", shortest, "--max", longest
    pace = "--window", 48, "--timeout", 20000
    patience = 120 * max(1, count // FRAMES)
    port = f"guest{number}"
    before, bounces = machine.stats(port), machine.stats(f"nic{number}")["rx"]["bounces"]
    with timed(f"{count} frames of {shortest} to {longest} bytes each way, buffers of {buffers}"):
        machine.guest_begin("--seed", seed, "--peer-seed", seed + 2, "--count", count, *sizes, *pace,
                            "--hold", *BUFFERS[buffers], *guest, "both", port=port)
        wire = Wire(r, "--seed", seed + 2, "--peer-seed", seed, *sizes, *pace, "--send", count,
                    "--expect", count, tap=f"zcnic{number}")
        machine.guest_go(port)
        result = machine.guest_end(port, patience)
        wire.end(patience + 60)
    after = machine.stats(port)
    for what, way, known in ("guest to NIC", "rx", 0), ("NIC to guest", "tx", bounces):
        counted = difference(before, after, way)
        percent = share(what, counted, known)
        if counted["frames"] < count:
            raise Fail(f"{what}: {counted['frames']} frames counted of {count}")
        if least is not None and percent < least:
            raise Fail(f"{what}: only {percent:.2f} % of the frames without a copy")
        short = count * max(0, THRESHOLD - shortest) / (longest - shortest + 1)
        if counted["copy_small"] > 1.2 * short + 50:
            raise Fail(f"{what}: {counted['copy_small']} copied for being short, not about {short}")
    if not guest:
        machine.in_place[buffers] = percent > 50
    return result


def return_times(machine, size, count, repeat=20):
    """Microseconds until the last buffer of each burst was back, sorted; what the port counted."""
    before = machine.stats()
    machine.guest_begin("--size", size, "--count", count, "--repeat", repeat, "--timeout",
                        20000, "--hold", "burst")
    machine.guest_end()
    lines = machine.run("grep burst /tmp/guest0.out").splitlines()
    times = sorted(json.loads(line)["us"] for line in lines)
    if len(times) != repeat:
        raise Fail(f"{len(times)} bursts of {repeat}: {times}")
    return times, difference(before, machine.stats(), "rx")


def silence(machine, _r):
    """The last frames before silence: their buffers are back in time, nothing follows them.

    An emulated machine stands still for longer than that now and then, when something else runs on
    the real one. So all of some bursts have to be in time, and the best of some tries counts: what
    is wrong with zcnet is wrong in each.
    """
    for count in 1, 7, 31:
        for left in reversed(range(SILENCE_TRIES)):
            times, counted = return_times(machine, 1000, count)
            print(f"silence after {count}: buffers back after {times[0]} to {times[-1]} us",
                  flush=True)
            if share("those", counted) < 99:
                raise Fail(f"silence after {count}: {counted}")
            if times[-1] <= SILENCE_MS * 1000:
                break
            if left == 0:
                raise Fail(f"silence after {count}: not within {SILENCE_MS} ms: {times}")


def settled(machine):
    """Frames sent before are gone: a NIC that was down takes what was kept for it when it is up."""
    wait_for("link up", lambda: machine.info("nic0")["link_up"], 20)
    seen = -1
    while (now := machine.stats("nic0")["rx"]["frames_offered"]) != seen:
        seen = now
        time.sleep(0.3)


def killed(machine, r, times, buffers=2048, seed=None):
    """A guest ends without a word while frames go both ways."""
    random = Random(times if seed is None else seed)
    wire = Wire(r, "--send", 1000000, "--seed", 7, "--rate", 3000)
    with timed(f"killed {times} times"):
        for _ in range(times):
            machine.guest_begin("--seed", 5, "--peer-seed", 7, "--count", 1000000, "--window", 0,
                                "--timeout", 20000, *BUFFERS[buffers], "both")
            time.sleep(random.uniform(0.1, 1))
            machine.guest_kill()
            wait_for("link down", lambda: not machine.info("guest0")["link_up"], 20)
            if machine.stats()["rx"]["out"]:
                raise Fail(f"buffers of a guest that is gone are out: {machine.stats()}")
    wire.stop()
    settled(machine)


def moved(machine, r, times, longest=1514, buffers=2048, seed=5):
    """A guest's memory changes under traffic: new memory is added, the old goes away."""
    result = exchange(machine, r, count=max(FRAMES // 2, 1000 * times), longest=longest, least=None,
                      buffers=buffers, guest=("--regions", 2, "--moves", times), seed=seed)
    if result["moves"] != times:
        raise Fail(f"memory was moved {result['moves']} times of {times}")


def unmapped(machine, r):
    """The IOMMU says so when an address is wrong: what was mapped for guests is unmapped behind
    zcnet's back, under traffic. So no fault means something. Nothing works after this."""
    known = machine.faults()
    machine.guest_begin("--seed", 5, "--peer-seed", 7, "--count", 1000000, "--window", 0,
                        "--timeout", 60000, *BUFFERS[2048], "--hold", "both")
    print(machine.run(UNMAP), flush=True)
    machine.guest_go()
    wire = Wire(r, "--send", 1000000, "--seed", 7, "--rate", 1000)
    for way in "read", "write":
        wait_for(f"a fault of a DMA {way}", lambda: any(
            what == way and WINDOW <= address < 2 * WINDOW
            for what, address in new_faults(machine, known)), 30)
    log = wait_for("one of them in the kernel's log", lambda: machine.run(
        r"dmesg | grep 'DMA \(Read\|Write\).* fault addr 0x[4-7]\w\{9\} ' | tail -n 1"), 30)
    print(f"unmapped: {new_faults(machine, known)[:2]}, {log}", flush=True)
    wire.stop()
    machine.guest_kill()
    machine.run("kill -KILL $(pidof zcnet)")


def new_faults(machine, known):
    return machine.faults()[len(known):]


def tell(machine):
    """Everything that helps to see what went wrong."""
    print(machine.info("nic0"), machine.info("guest0"), machine.stats(), machine.stats("nic0"),
          machine.run("grep -v VHOST_CONFIG /tmp/zcnet.log"), machine.faults()[-6:], sep="\n",
          flush=True)


def run_steps(machine, r, steps):
    """Each step; no fault of DMA meanwhile."""
    known = machine.faults()
    for step, *arguments in steps:
        try:
            step(machine, r, *arguments)
        except Crash:
            raise
        except Fail:
            tell(machine)
            raise
        new = new_faults(machine, known)
        if new:
            tell(machine)
            raise Fail(f"{step.__name__}: {len(new)} faults of DMA: {new[:4]}")


@contextlib.contextmanager
def zcnet(machine, **options):
    with timed("zcnet"):
        machine.start_zcnet(**options)
    known = machine.faults()
    print(f"  {machine.info('nic0')}; {len(known)} faults so far: {known}", flush=True)
    yield
    machine.stop_zcnet()
    if new_faults(machine, known):
        raise Fail(f"zcnet's end: faults of DMA: {new_faults(machine, known)}")


def document(driver, in_place):
    """The driver's row of the table in the documentation; with ZC_WRITE=1 it is put there."""
    cells = ["in place" if in_place[key] else "copied" for key in sorted(in_place)]
    row = f"| `{driver}` | {' | '.join(cells)} |\n"
    with open(DOCUMENT) as file:
        lines = file.readlines()
    at = [number for number, line in enumerate(lines) if line.startswith(f"| `{driver}` |")]
    if len(at) != 1:
        raise Fail(f"{DOCUMENT}: {len(at)} rows of {driver}; this is one: {row}")
    if lines[at[0]] != row and os.environ.get("ZC_WRITE") == "1":
        lines[at[0]] = row
        with open(DOCUMENT, "w") as file:
            file.writelines(lines)
    elif lines[at[0]] != row:
        raise Fail(f"{DOCUMENT}: {lines[at[0]]} is not what was seen (ZC_WRITE=1 changes it): {row}")
    print(row, flush=True)


def selftest(machine, r, status, *said, eal=""):
    """What "zcnet selftest" says of the NIC, with frames from outside."""
    known = machine.faults()
    wire = Wire(r, "--send", 1000000, "--seed", 7, "--rate", 1000)
    with timed("selftest"):
        got, text = machine.selftest(eal, "-t", "60")
    wire.stop()
    print(text, flush=True)
    wrong = [words for words in said if words not in text]
    if got != status or wrong or new_faults(machine, known):
        raise Fail(f"selftest: status {got} instead of {status}, without {wrong}, "
                   f"{new_faults(machine, known)}: {machine.run('tail -n 5 /tmp/selftest.log')}")


def proves(nic, aw_bits, times=4, frames=FRAMES, shared=None):
    """shared: a module that tells how guests share it; see shared.py"""
    image = rig.private_network(*nicvm.image_arguments())
    with rig.Rig(f"zc-{nic}") as r:
        machine = Machine(r, image, nic, aw_bits=aw_bits)
        with timed(f"{nic} behind an IOMMU of {aw_bits} bits: boot"):
            machine.boot()
        with zcnet(machine, iova="pa"):
            run_steps(machine, r, [(exchange, frames), (silence,), (killed, times),
                                   (moved, times)])
            # 1514 bytes are 1518 with their CRC
            run_steps(machine, r, [(exchange, frames // 4, 1514, 1514, 99.0, 4080)])
            run_steps(machine, r, [(exchange, 600, 1514, 60, None, size) for size in (1518, 1524)])
            driver = machine.info("nic0")["driver"]
        with zcnet(machine, iova="va"):
            run_steps(machine, r, [(exchange, frames // 4)])
        document(driver, machine.in_place)
        selftest(machine, r, 0, driver, "mapped for the NIC", "DMA: 0 faults")
        if shared:
            with zcnet(machine, config=shared.CONFIG):
                run_steps(machine, r, shared.steps())
        machine.start_zcnet()
        unmapped(machine, r)
        machine.stop()


def copies_without_iommu(nic):
    image = rig.private_network(*nicvm.image_arguments())
    with rig.Rig(f"zc-{nic}") as r:
        machine = Machine(r, image, nic, iommu=False)
        machine.boot()
        machine.start_zcnet(iova="pa")  # uio hands out no other addresses
        note = machine.info("nic0")["note"]
        print(f"without IOMMU: {note}", flush=True)
        if "no IOMMU" not in note:
            raise Fail(f"without an IOMMU the port says: {note}")
        exchange(machine, r, FRAMES // 4, least=None)
        if machine.stats()["rx"]["zc_frames"]:
            raise Fail("frames without a copy and without an IOMMU")
        machine.stop_zcnet()
        selftest(machine, r, 1, "no IOMMU: enable it", "copy_off 1000", eal="--iova-mode pa")
        machine.stop()
