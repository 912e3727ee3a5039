"""A network namespace: a machine of its own as far as its network goes, joined to this one by a
wire (a veth pair) that can be cut.

    silence()       frames on the wire are lost, both ways: no connection is closed, nothing passes
    heal()          they arrive again
    move()          the machine has another address: what was connected to the old one stays dead

It takes the rights of an administrator, and `ip` and `nsenter`; `open_namespace` gives `None` where
they are missing. The namespace lives in a process that ends with this one, however that ends, and
takes the wire with it: nothing is left behind. No packet leaves this machine: the addresses are of
a range that is kept for tests of networks (RFC 2544, 198.18.0.0/15).
"""

import contextlib
import os
import shutil
import subprocess

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
NOBODY = "02:00:00:00:00:01"
"""A hardware address that neither end of the wire has: what is sent to it is lost."""


class Refused(Exception):
    """This machine lets nobody make namespaces here, or not us."""


class Namespace:
    """A namespace, the wire to it, and the addresses of both ends; a context manager."""

    def __init__(self):
        number = os.getpid() % 0x4000  # eight addresses to each process
        self._net = [198, 18 + (number >> 13), number >> 5 & 0xFF, (number & 0x1F) << 3]
        self._wire = f"nbq{os.getpid()}"
        self.here = self._address(1)
        """The address of this machine, as seen from the namespace."""
        self.there = self._address(2)
        """The address of the namespace, as seen from here."""
        # It reads until this process is gone.
        command = ["unshare", "--net", "sh", "-c", "echo ready; exec cat"]
        self._holder = self._start(command)
        try:
            self.prefix = [_tool("nsenter"), f"--net=/proc/{self._holder.pid}/ns/net"]
            self._join()
        except BaseException:
            self.close()
            raise

    def silence(self):
        """Let nothing through, and close nothing."""
        self._ip("neigh", "replace", self.there, "lladdr", NOBODY, "dev", self._wire)
        self._ip_there("neigh", "replace", self.here, "lladdr", NOBODY, "dev", "wire")

    def heal(self):
        """Let everything through again."""
        self._ip("neigh", "del", self.there, "dev", self._wire)
        self._ip_there("neigh", "del", self.here, "dev", "wire")

    def move(self):
        """Give the namespace the next address instead of its own (there are five of them)."""
        self._ip_there("addr", "del", f"{self.there}/29", "dev", "wire")
        self.there = self._address(int(self.there.rpartition(".")[2]) - self._net[3] + 1)
        self._ip_there("addr", "add", f"{self.there}/29", "dev", "wire")

    def close(self):
        """End it, and the wire with it; what still runs in it keeps it."""
        with contextlib.suppress(Refused):  # it never came to be, or has gone with its end there
            self._ip("link", "del", self._wire)
        self._holder.stdin.close()
        self._holder.wait(10)
        self._holder.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _join(self):
        pid = str(self._holder.pid)
        other = ("peer", "name", "wire", "netns", pid)
        self._ip("link", "add", self._wire, "type", "veth", *other)
        self._ip("addr", "add", f"{self.here}/29", "dev", self._wire)
        self._ip("link", "set", self._wire, "up")
        self._ip_there("addr", "add", f"{self.there}/29", "dev", "wire")
        self._ip_there("link", "set", "wire", "up")
        self._ip_there("link", "set", "lo", "up")

    def _address(self, host):
        return ".".join(map(str, [*self._net[:3], self._net[3] + host]))

    def _start(self, command):
        pipe = subprocess.PIPE
        holder = subprocess.Popen(
            [_tool(command[0]), *command[1:]], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        if holder.stdout.readline() != b"ready\n":
            holder.communicate()
            raise Refused("unshare --net")
        return holder

    def _ip(self, *words):
        _run([_tool("ip"), *words])

    def _ip_there(self, *words):
        _run([*self.prefix, _tool("ip"), *words])


def open_namespace():
    """Give a namespace that is joined to this machine, or `None` where that is not permitted."""
    try:
        return Namespace()
    except Refused:
        return None


def _tool(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        raise Refused(f"there is no {name} here")
    return found


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip()}")
