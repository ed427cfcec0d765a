# SPDX-License-Identifier: BSD-3-Clause
"""A real NIC driver that does real DMA: zcnet inside a virtual machine with an emulated NIC and IOMMU.

    zcnet-guest -- vhost-user -- zcnet -- driver, vfio-pci, IOMMU -- NIC of QEMU | tap -- zcnet-wire

Left of the bar all is in the virtual machine. A wrong address is a DMAR fault in its kernel's log.
"""
import contextlib
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "qemu"))
import rig  # noqa: E402
from rig import Fail, Skip, wait_for  # noqa: E402

BUILD = os.path.realpath(os.environ.get("ZC_BUILD", os.path.join(rig.ROOT, "build")))
ZCNET = os.path.join(BUILD, "app", "zcnet")
GUEST = os.path.join(BUILD, "test", "lib", "zcnet-guest")
WIRE = os.path.join(BUILD, "test", "lib", "zcnet-wire")
TAP = "zcnic0"
SOCKET = "/tmp/guest0.sock"
MODULES = ("irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
           "uio_pci_generic")
DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_vmxnet3")
ABOVE = ["--min", "300"]        # longer than zcnet's threshold
FRAMES = 20000
SILENCE_MS = 10

CONFIG = """
[port guest0]
type = vhost
path = {socket}

[port nic0]
type = ethdev
device = {address}

[connect c0]
a = guest0
b = nic0
"""

# what perl needs no module for: a question to DPDK's telemetry socket
ASK = """perl -e 'socket(S, 1, 5, 0) && connect(S, pack("S a108", 1, \
"/run/dpdk/zc/dpdk_telemetry.v2")) || exit 3; sysread(S, $t, 65536); syswrite(S, $ARGV[0]); \
sysread(S, $t, 65536); print $t' """


def image_arguments():
    for program in ZCNET, GUEST, WIRE:
        if not os.access(program, os.X_OK):
            raise Skip(f"{program} is not built: ./dev build")
    folder = subprocess.run(["pkg-config", "--variable=driverdir", "libdpdk"],
                            capture_output=True, text=True).stdout.strip()
    if not os.path.isdir(folder):
        folder = drivers_folder()
    arguments = [word for module in MODULES for word in ("-m", module)]
    # the image is made again when one of these is new, and not for libraries unnamed
    files = [ZCNET, GUEST, os.path.join(BUILD, "lib", "zcnet", "libzcnet.so"),
             os.path.join(BUILD, "drivers", "mempool", "guest", "librte_mempool_guest.so"),
             "/usr/bin/perl"]
    for driver in DRIVERS:
        names = [name for name in os.listdir(folder)
                 if re.fullmatch(rf"librte_{driver}\.so\.\d+", name)]
        if not names:
            raise Skip(f"{folder}: no librte_{driver}: apt-get install dpdk-dev")
        files.append(os.path.join(folder, names[0]))
    return arguments + [word for file in files for word in ("-f", file)]


def drivers_folder():
    parent = "/usr/lib/x86_64-linux-gnu/dpdk"
    found = os.path.isdir(parent) and sorted(os.listdir(parent))
    if not found:
        raise Skip(f"{parent}: no DPDK drivers: apt-get install dpdk-dev")
    return os.path.join(parent, found[-1])


class Machine(rig.Vm):
    """The machine that zcnet runs in."""

    def __init__(self, r, image, nic, iommu=True):
        super().__init__(r, image, "machine", cpus=3, memory_mb=1536)
        self.nic = nic
        self.iommu = iommu
        # no switch polls outside: all CPUs are for QEMU
        os.sched_setaffinity(0, range(os.cpu_count()))

    def kernel_arguments(self):
        # the first messages of a kernel with an IOMMU are many
        return "log_buf_len=4M " + ("intel_iommu=on iommu=pt" if self.iommu else "intel_iommu=off")

    def devices(self):
        return ["-M", "q35,kernel-irqchip=off", "-device", "intel-iommu,caching-mode=on",
                "-netdev", f"tap,id=n,ifname={TAP},script=no,downscript=no",
                "-device", f"{self.nic},netdev=n,mac=52:54:00:00:00:03"]

    def boot(self):
        super().boot()
        for command in (f"sysctl -qw net.ipv6.conf.{TAP}.disable_ipv6=1",
                        f"ip link set {TAP} txqueuelen 10000 up"):
            subprocess.run(command.split(), check=True)
        self.run("mkdir -p /dev/hugepages && echo 256 > /proc/sys/vm/nr_hugepages && "
                 "mount -t hugetlbfs none /dev/hugepages && "
                 "test $(cat /proc/sys/vm/nr_hugepages) = 256")
        self.address = self.run(
            "for d in /sys/bus/pci/devices/*; do [ $(cat $d/class) = 0x020000 ] && "
            "echo ${d##*/}; done; true").strip()
        # Debian's vfio-pci takes no NIC without an IOMMU
        driver = "vfio-pci" if self.iommu else "uio_pci_generic"
        self.run(f"echo {driver} > /sys/bus/pci/devices/{self.address}/driver_override && "
                 f"echo {self.address} > /sys/bus/pci/drivers_probe && "
                 f"test -e /sys/bus/pci/drivers/{driver}/{self.address}")

    def start_zcnet(self):
        config = CONFIG.format(socket=SOCKET, address=self.address)
        self.run(f"cat > /tmp/zcnet.conf <<'END'\n{config}\nEND\n"
                 f"{ZCNET} -l 0,1 --file-prefix zc --in-memory -m 192 -a {self.address} "
                 "-- -c /tmp/zcnet.conf > /tmp/zcnet.log 2>&1 &")

        def up():
            if not self.run("pidof zcnet || true").strip():
                raise Fail(f"zcnet ended: {self.run('cat /tmp/zcnet.log')}")
            return self.ask("/zcnet/conn/list") and self.info("nic0")["link_up"]
        wait_for("link of the NIC", up, 60)

    def stop_zcnet(self):
        self.run("kill -TERM $(pidof zcnet); for i in $(seq 200); do pidof zcnet || exit 0; "
                 "sleep 0.1; done; exit 1")

    def ask(self, command):
        status, text = self.run(ASK + command, check=False)
        return None if status or not text else next(iter(json.loads(text).values()))

    def info(self, port):
        return self.ask(f"/zcnet/port/info,{port}")

    def stats(self, port="guest0"):
        return self.ask(f"/zcnet/port/stats,{port}")

    def guest(self, *words, check=True):
        """zcnet-guest to its end; its last line."""
        status, text = self.run(f"{GUEST} --socket {SOCKET} {' '.join(map(str, words))}",
                                timeout=180, check=False)
        if check and status:
            raise Fail(f"zcnet-guest {' '.join(map(str, words))}: status {status}: {text[-800:]}")
        return json.loads(text.strip().splitlines()[-1]) if status == 0 else text

    def guest_begin(self, *words):
        self.run("rm -f /tmp/go /tmp/guest.status /tmp/guest.out; "
                 f"(while [ ! -e /tmp/go ]; do sleep 0.1; done | {GUEST} --socket {SOCKET} "
                 f"{' '.join(map(str, words))} > /tmp/guest.out 2>&1;"
                 " echo $? > /tmp/guest.status) > /dev/null 2>&1 &")
        wait_for("guest port's link", lambda: self.info("guest0")["link_up"], 20)
        if self.iommu:
            wait_for("guest memory mapped for DMA", lambda: self.info("guest0")["zerocopy_tx"], 20)

    def guest_go(self):
        """What --hold waits for."""
        self.run("touch /tmp/go")

    def guest_end(self):
        self.guest_go()
        wait_for("zcnet-guest's end", lambda: self.run("cat /tmp/guest.status || true",
                                                       ).strip().isdigit(), 120)
        status, text = self.run("cat /tmp/guest.out; exit $(cat /tmp/guest.status)", check=False)
        if status:
            raise Fail(f"zcnet-guest: status {status}: {text[-800:]}")
        return json.loads(text.strip().splitlines()[-1])

    def faults(self):
        # vmxnet3 of QEMU reads its shared memory at address 0 whenever it is reset
        return [line for line in self.run("dmesg").splitlines() if "DMAR" in line and
                "fault addr" in line and not (self.nic == "vmxnet3" and "DMA Read" in line and
                                              "fault addr 0x0 " in line)]


class Wire:
    """zcnet-wire on the tap, listening when this returns."""

    def __init__(self, r, *words):
        self.words = words
        self.child = r.spawn("wire", [WIRE, "--interface", TAP, *map(str, words)],
                             stdin=subprocess.DEVNULL, output=subprocess.PIPE, text=True)
        self.first = self.child.stdout.readline()

    def end(self, timeout=180):
        try:
            text, _ = self.child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Fail(f"zcnet-wire {self.words} hangs") from None
        if self.child.returncode:
            raise Fail(f"zcnet-wire: status {self.child.returncode}: {self.first}{text[-800:]}")
        return json.loads(text.strip().splitlines()[-1])


def difference(before, after, way):
    return {key: after[way][key] - before[way][key] for key in after[way]
            if isinstance(after[way][key], int)}


def tell(what, moved):
    # frames of more descriptors than the driver sends segments are copied as documented
    share = 100 * moved["zc_frames"] / max(1, moved["frames"] - moved["copy_segs"])
    others = {key: value for key, value in moved.items() if value and key not in
              ("frames", "bytes", "zc_frames", "zc_bytes")}
    print(f"{what}: {moved['frames']} frames, {share:.2f} % without a copy, "
          f"copy_segs apart {others}", flush=True)
    return share


@contextlib.contextmanager
def measured(machine, what, way, least=99.0):
    before = machine.stats()
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    moved = difference(before, machine.stats(), way)
    share = tell(f"{what} ({seconds:.1f} s)", moved)
    if moved["frames"] < FRAMES:
        raise Fail(f"{what}: {moved['frames']} frames counted of {FRAMES}")
    if least is not None and share < least:
        raise Fail(f"{what}: only {share:.2f} % of the frames without a copy")


def from_guest(machine, r, least=99.0):
    wire = Wire(r, "--expect", FRAMES, "--seed", 5, "--peer-seed", 5, *ABOVE, "--timeout", 20000)
    machine.guest_begin("--seed", 5, "--count", FRAMES, *ABOVE, "--rate", 4000,
                        "--timeout", 20000, "--hold", "random")
    with measured(machine, "guest to NIC", "rx", least):
        machine.guest_go()
        machine.guest_end()
        wire.end()


def to_guest(machine, r, least=99.0):
    # A ring that lasts for a third of a second: the guest shares an emulated CPU.
    machine.guest_begin("--seed", 7, "--count", FRAMES, *ABOVE, "--timeout", 20000,
                        "--ring-size", 1024, "--bufsize", 4096, "verify")
    time.sleep(0.5)     # what is mapped for DMA and armed with its buffers
    with measured(machine, "NIC to guest", "tx", least):
        Wire(r, "--send", FRAMES, "--seed", 7, *ABOVE, "--rate", 3000).end()
        machine.guest_end()


def return_times(machine, size, count):
    """Microseconds until the last buffer of each burst was back, sorted; what the port counted."""
    before = machine.stats()
    machine.guest_begin("--size", size, "--count", count, "--repeat", 20, "--hold", "burst")
    machine.guest_end()
    lines = machine.run("grep burst /tmp/guest.out").splitlines()
    times = sorted(json.loads(line)["us"] for line in lines)
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
        if tell("  those", moved) < 99:
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
    from_guest(machine, r)


def check_faults(machine, known, when):
    new = machine.faults()[known:]
    if new:
        raise Fail(f"{when}: {len(new)} faults of DMA: {new[:4]}")


def proves(nic):
    image = rig.private_network(*image_arguments())
    with rig.Rig(f"zc-{nic}") as r:
        machine = Machine(r, image, nic)
        machine.boot()
        machine.start_zcnet()
        known = len(machine.faults())
        print(f"{nic} at {machine.address}, kernel {machine.kernel}: {machine.info('nic0')}; "
              f"{known} faults while it started: {machine.faults()}", flush=True)
        steps = [lambda: from_guest(machine, r), lambda: to_guest(machine, r),
                 lambda: silence(machine), lambda: killed(machine, r)]
        # Step 2 measures time, which needs a machine with a CPU for each of the virtual one's.
        only = os.environ.get("ZC_STEPS", "013")
        for number, step in enumerate(steps):
            if str(number) not in only:
                continue
            try:
                step()
            except Fail:
                print(machine.info("nic0"), machine.info("guest0"), machine.stats(),
                      machine.stats("nic0"), machine.run("cat /tmp/zcnet.log"),
                      machine.faults()[:6], sep="\n", flush=True)
                raise
            check_faults(machine, known, f"step {number}")
        machine.stop_zcnet()
        check_faults(machine, known, "zcnet's end")
        machine.stop()


def copies_without_iommu(nic):
    image = rig.private_network(*image_arguments())
    with rig.Rig(f"zc-{nic}") as r:
        machine = Machine(r, image, nic, iommu=False)
        machine.boot()
        machine.start_zcnet()
        note = machine.info("nic0")["note"]
        print(f"without IOMMU: {note}", flush=True)
        if "no IOMMU" not in note:
            raise Fail(f"without an IOMMU the port says: {note}")
        from_guest(machine, r, None)
        if machine.stats()["rx"]["zc_frames"]:
            raise Fail("frames without a copy and without an IOMMU")
        machine.stop_zcnet()
        machine.stop()


def main(*tests):
    try:
        for test in tests:
            test()
    except Skip as reason:
        print(reason)
        sys.exit(reason.status)
    except Fail as error:
        sys.exit(f"FAIL: {error}")
