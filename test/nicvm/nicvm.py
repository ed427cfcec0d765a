# SPDX-License-Identifier: BSD-3-Clause
"""A real NIC driver that does real DMA: zcnet inside a virtual machine with an emulated NIC and IOMMU.

    zcnet-guest -- vhost-user -- zcnet -- driver, vfio-pci, IOMMU -- NIC of QEMU | tap -- zcnet-wire

Left of the bar all is in the virtual machine. A wrong address is a fault of its IOMMU.
"""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "qemu"))
import rig  # noqa: E402
from rig import Crash, Fail, Skip, wait_for  # noqa: E402

BUILD = os.path.realpath(os.environ.get("ZC_BUILD", os.path.join(rig.ROOT, "build")))
CACHE = os.environ.get("ZC_CACHE", os.path.join(rig.ROOT, ".cache"))
ZCNET = os.path.join(BUILD, "app", "zcnet")
GUEST = os.path.join(BUILD, "test", "lib", "zcnet-guest")
WIRE = os.path.join(BUILD, "test", "lib", "zcnet-wire")
TAP = "zcnic0"
MODULES = ("irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
           "uio_pci_generic")
DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_vmxnet3")
# At each start DPDK's vmxnet3 has QEMU read the features and the VLAN filter of the memory they share,
# and only then tells where that is (vmxnet3_ethdev.c:955 and :995 of 22.11.11; offsets from 0 in
# Vmxnet3_DriverShared). No fault of ours.
VMXNET3_EARLY = {("read", address) for address in (24, *range(136, 136 + 512, 4))}

CONFIG = """
[port guest0]
type = vhost
path = /tmp/guest0.sock
rx-full = wait

[port nic0]
type = ethdev
device = {address}
{keys}

[connect c0]
a = guest0
b = nic0
"""

# what perl needs no module for: a question to DPDK's telemetry socket
ASK = """perl -e 'socket(S, 1, 5, 0) && connect(S, pack("S a108", 1, \
"/run/dpdk/zc/dpdk_telemetry.v2")) || exit 3; sysread(S, $t, 65536); syswrite(S, $ARGV[0]); \
sysread(S, $t, 65536); print $t' """


def image_arguments(modules=MODULES, drivers=DRIVERS, programs=()):
    for program in ZCNET, GUEST, WIRE:
        if not os.access(program, os.X_OK):
            raise Skip(f"{program} is not built: ./dev build")
    folder = subprocess.run(["pkg-config", "--variable=driverdir", "libdpdk"],
                            capture_output=True, text=True).stdout.strip()
    if not os.path.isdir(folder):
        folder = drivers_folder()
    arguments = [word for module in modules for word in ("-m", module)]
    # the image is made again when one of these is new, and not for libraries unnamed
    files = [ZCNET, GUEST, os.path.join(BUILD, "lib", "zcnet", "libzcnet.so"),
             os.path.join(BUILD, "drivers", "mempool", "guest", "librte_mempool_guest.so"),
             "/usr/bin/perl", *programs]
    for driver in drivers:
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


def igb_qemu():
    """A QEMU that has an igb: the system's own, or the one that setup.sh put into the cache."""
    root = os.path.join(CACHE, "igb-qemu", "usr")
    command = ["env", f"QEMU_MODULE_DIR={root}/lib/x86_64-linux-gnu/qemu",
               f"{root}/bin/{rig.QEMU}", "-L", f"{root}/share/qemu"]
    if not os.path.isdir(root):
        command = [rig.QEMU]
    known = subprocess.run([*command, "-device", "igb,help"], capture_output=True, text=True)
    if "igb options" not in known.stdout:
        raise Skip("no QEMU with an igb: ./dev setup test")
    return command


class Machine(rig.Vm):
    """The machine that zcnet runs in. Its second CPU is the worker's alone."""

    def __init__(self, r, image, nic, iommu=True, aw_bits=48):
        super().__init__(r, image, "machine", cpus=2, memory_mb=1536)
        self.nic = nic
        self.iommu = iommu
        self.aw_bits = aw_bits
        self.in_place = {}      # by size of the guest's buffers; see steps.exchange()
        if nic == "igb":
            self.qemu = igb_qemu()
        # no switch polls outside: all CPUs are for QEMU, and before others
        os.sched_setaffinity(0, range(os.cpu_count()))
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)

    def kernel_arguments(self):
        # The first messages of a kernel with an IOMMU are many. On a busy machine its look at the
        # timer may fail, and it panics.
        return "log_buf_len=4M no_timer_check isolcpus=1 " + (
            "intel_iommu=on iommu=pt" if self.iommu else "intel_iommu=off")

    def devices(self):
        return ["-M", "q35,kernel-irqchip=off", "-device",
                f"intel-iommu,caching-mode=on,aw-bits={self.aw_bits}", "-trace", "vtd_dmar_fault",
                *self.tap("n", TAP),
                "-device", f"{self.nic},netdev=n,mac=52:54:00:00:00:03,romfile="]

    @staticmethod
    def tap(name, interface):
        return "-netdev", f"tap,id={name},ifname={interface},script=no,downscript=no"

    def boot(self):
        super().boot()
        for tap in (name for _, name in socket.if_nameindex() if name.startswith("zcnic")):
            for command in (f"sysctl -qw net.ipv6.conf.{tap}.disable_ipv6=1",
                            f"ip link set {tap} mtu 9100 txqueuelen 10000 up"):
                subprocess.run(command.split(), check=True)
        self.run("mkdir -p /dev/hugepages && echo 256 > /proc/sys/vm/nr_hugepages && "
                 "mount -t hugetlbfs none /dev/hugepages && "
                 "test $(cat /proc/sys/vm/nr_hugepages) = 256")
        self.address, = self.nics()

    def nics(self):
        """PCI addresses."""
        return self.run("for d in /sys/bus/pci/devices/*; do [ $(cat $d/class) = 0x020000 ] && "
                        "echo ${d##*/}; done; true").split()

    def give(self, address):
        """A NIC to DPDK."""
        # Debian's vfio-pci takes none without an IOMMU
        driver = "vfio-pci" if self.iommu else "uio_pci_generic"
        self.run(f"echo {driver} > /sys/bus/pci/devices/{address}/driver_override && "
                 f"echo {address} > /sys/bus/pci/drivers_probe && "
                 f"test -e /sys/bus/pci/drivers/{driver}/{address}")

    def launch(self, eal, arguments):
        self.run(f"{ZCNET} -l 0,1 --file-prefix zc --in-memory -m 192 {eal} -- {arguments} "
                 ">> /tmp/zcnet.log 2>&1 &")

    def wait_zcnet(self, what, probe, timeout=60):
        def alive():
            if not self.run("pidof zcnet || true").strip():
                raise Fail(f"zcnet ended: {self.run('cat /tmp/zcnet.log')}")
            return probe()
        return wait_for(what, alive, timeout)

    def start_zcnet(self, iova="va", keys="", config=CONFIG):
        """zcnet with the NIC "nic0" bound to the guest port "guest0", or as it is said."""
        config = config.format(address=self.address, keys=keys)
        self.give(self.address)
        self.run(f"cat > /tmp/zcnet.conf <<'END'\n{config}\nEND")
        self.launch(f"--iova-mode {iova} -a {self.address}", "-c /tmp/zcnet.conf")
        self.wait_zcnet("link of the NIC", lambda: self.ask("/zcnet/conn/list") and
                        self.info("nic0")["link_up"])

    def start_shell(self, eal=""):
        """zcnet without a port, for shell()."""
        self.run("rm -f /tmp/shell && mkfifo /tmp/shell && (sleep 1000000 > /tmp/shell &)")
        self.launch(eal, "-i < /tmp/shell")
        self.wait_zcnet("shell", lambda: self.ask("/zcnet/port/list") is not None)

    def shell(self, *commands):
        for command in commands:
            self.run(f"echo '{command}' > /tmp/shell")

    def selftest(self, eal, *words):
        """Its exit status and its report."""
        self.give(self.address)
        return self.run(f"{ZCNET} -l 0,1 --file-prefix zc --in-memory -m 192 {eal} "
                        f"-a {self.address} -- selftest {' '.join(words)} 2> /tmp/selftest.log",
                        timeout=180, check=False)

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

    def guest_begin(self, *words, port="guest0", mapped=True):
        """zcnet-guest on a port; it is up when this returns, and its memory mapped for DMA."""
        files = f"/tmp/{port}"
        self.run(f"rm -f {files}.go {files}.status {files}.out; "
                 f"(while [ ! -e {files}.go ]; do sleep 0.1; done | "
                 f"{GUEST} --socket {files}.sock {' '.join(map(str, words))} > {files}.out 2>&1;"
                 f" echo $? > {files}.status) > /dev/null 2>&1 &")
        wait_for("guest port's link", lambda: self.info(port)["link_up"], 20)
        if self.iommu and mapped:
            wait_for("guest memory mapped for DMA", lambda: self.info(port)["zerocopy_tx"], 40)

    def guest_go(self, port="guest0"):
        """What --hold waits for."""
        self.run(f"touch /tmp/{port}.go")

    def guest_wait(self, port, timeout=120):
        self.guest_go(port)
        wait_for("zcnet-guest's end", lambda: self.run(f"cat /tmp/{port}.status || true",
                                                       ).strip().isdigit(), timeout)

    def guest_kill(self, signal="KILL", port="guest0"):
        self.run("for pid in $(pidof zcnet-guest); do "
                 f"grep -q /tmp/{port}.sock /proc/$pid/cmdline && kill -{signal} $pid; done; true")
        self.guest_wait(port)

    def guest_end(self, port="guest0", timeout=120):
        self.guest_wait(port, timeout)
        status, text = self.run(f"cat /tmp/{port}.out; exit $(cat /tmp/{port}.status)",
                                check=False)
        if status:
            raise Fail(f"zcnet-guest: status {status}: {text[-800:]}")
        return json.loads(text.strip().splitlines()[-1])

    def faults(self):
        """(read or write, address) of each fault of DMA, as QEMU saw it: the kernel's log leaves out
        what follows fast."""
        with open(self.rig.path("machine.log"), errors="replace") as log:
            found = re.findall(r"^vtd_dmar_fault .* addr (\w+) write (\d)$", log.read(), re.M)
        faults = [(("read", "write")[int(write)], int(address, 16)) for address, write in found]
        return [fault for fault in faults if self.nic != "vmxnet3" or fault not in VMXNET3_EARLY]


class Wire:
    """zcnet-wire on a tap, listening when this returns."""

    def __init__(self, r, *words, tap=TAP):
        self.words = words
        self.child = r.spawn("wire", [WIRE, "--interface", tap, *map(str, words)],
                             stdin=subprocess.DEVNULL, output=subprocess.PIPE, text=True)
        self.first = self.child.stdout.readline()

    def stop(self):
        """Without a look at what came of it."""
        rig.end(self.child)

    def end(self, timeout=180):
        try:
            text, _ = self.child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Fail(f"zcnet-wire {self.words} hangs") from None
        if self.child.returncode:
            raise Fail(f"zcnet-wire: status {self.child.returncode}: {self.first}{text[-800:]}")
        return json.loads(text.strip().splitlines()[-1])


def main(*tests):
    """QEMU 7.2 was seen to crash, rarely, whatever the test did: that one is begun again, once."""
    try:
        for test in tests:
            test()
    except Skip as reason:
        print(reason)
        sys.exit(reason.status)
    except Crash as error:
        if "ZC_AGAIN" in os.environ:
            sys.exit(f"FAIL: {error}, again")
        print(f"{error}: once more", flush=True)
        os.environ["ZC_AGAIN"] = "1"
        os.execv(sys.executable, sys.orig_argv)
    except Fail as error:
        sys.exit(f"FAIL: {error}")
