"""A SLURM of two nodes on the loopback of one machine, in a folder of its own.

Debian's packages are enough: munge, slurm-wlm, and for accounting slurmdbd and mariadb-server. Nothing of
/etc is read or written, no service of the system is touched, and every process is stopped by its id.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

NODES = ("n1", "n2")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
NEEDED_FOR_ACCOUNTS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacct", "sacctmgr")
PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"

CONTROLLER = """\
ClusterName=nestwise
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=1,bf_interval=5
# A step that takes more memory than its job asked for is ended, as cgroups do where they are set up.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=300
KillWait=5
InactiveLimit=0
OverTimeLimit=0
# A daemon that does not answer is missed after this many seconds (300 as SLURM comes).
SlurmdTimeout={patience}
ReturnToService=2
SlurmdParameters=config_overrides
AccountingStorageType={storage}
{accounts}
{nodes}
PartitionName=short Nodes=ALL Default=YES MaxTime=120 DefaultTime=5 State=UP
"""

DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={ports[3]}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[4]}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_accounts
"""


def missing(accounting: bool = False) -> str | None:
    """A sentence on what keeps a SLURM from being started here, or `None`."""
    needed = NEEDED + (NEEDED_FOR_ACCOUNTS if accounting else ())
    absent = [name for name in needed if shutil.which(name, path=PATH) is None]
    if os.geteuid() != 0:
        return "a SLURM of our own needs root, and this user is not root"
    if absent:
        return f"these programs are not installed: {', '.join(absent)} (see tests/cluster/install.sh)"
    return None


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what: str, ready: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `ready` is true; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.2)


@dataclass
class Slurm:
    """Daemons in a folder: `environment` makes the commands of SLURM speak to them."""

    folder: Path
    accounting: bool
    patience: int
    cpus: int
    memory: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for commands of SLURM and for the workflow."""
        return os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{PATH}",
            "SBATCH_OUTPUT": str(
                self.folder / "job-%j.out"
            ),  # a job sent without --output leaves nothing here
        }

    def command(self, *words: str) -> str:
        """Output of a command of SLURM."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def answers(self, *words: str) -> bool:
        """Whether a command succeeds."""
        done = subprocess.run(words, env=self.environment, capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def start(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> None:
        """Start a daemon in the foreground, in a session of its own, its output in a file."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self.running[name] = subprocess.Popen(
                words,
                env=dict(env or self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 (no threads here)
            )

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self.start(node, "slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf"))

    def kill_node(self, node: str) -> None:
        """End a node as a power cut does: its daemon and all that it runs, without a word."""
        victims = descendants(self.running[node].pid) | set(self.step_daemons(node))
        for pid in [self.running[node].pid, *victims, *(d for v in victims for d in descendants(v))]:
            with_grace(pid, signal.SIGKILL)
        self.running.pop(node).wait()

    def step_daemons(self, node: str) -> list[int]:
        """Processes that watch over the jobs of a node: they outlive its daemon."""
        log = self.folder / f"slurmd-{node}.log"
        return [pid for pid in processes() if b"slurmstepd: [" in title(pid) and holds(pid, log)]

    def node_is(self, node: str, *states: str) -> bool:
        """Whether a node is in one of some states, such as IDLE."""
        line = self.command("sinfo", "--noheader", "--nodes", node, "--format", "%T").strip()
        return line.strip("*~#").upper() in states

    def jobs(self, state: str = "all") -> list[dict[str, str]]:
        """Jobs that the controller knows of: id, state, node, comment."""
        text = self.command("squeue", "--noheader", "--states", state, "--format", "%i|%T|%N|%k|%Z")
        keys = ("id", "state", "node", "comment", "folder")
        return [dict(zip(keys, line.split("|"), strict=True)) for line in text.splitlines()]


def end_with_parent() -> None:
    """Have the kernel stop this process when the one that started it dies, however it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def processes() -> list[int]:
    """Ids of all processes."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def title(pid: int) -> bytes:
    """Command line of a process, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def holds(pid: int, file: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return file in {entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that these have started."""
    parents: dict[int, int] = {}
    for one in processes():
        try:
            parents[one] = int(Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, new = set[int](), {pid}
    while new:
        new = {one for one, parent in parents.items() if parent in new} - found
        found |= new
    return found


def with_grace(pid: int, which: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return


def _munge(slurm: Slurm) -> None:
    place = slurm.folder / "munge"
    place.mkdir(mode=0o755)
    key = place / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = [f"--{name}-file={place / name}" for name in ("key", "pid", "log", "seed")]
    slurm.start("munged", "munged", "--foreground", "--force", f"--socket={place / 'socket'}", *files)
    wait_for("munged", (place / "socket").exists)


def _database(slurm: Slurm, ports: list[int]) -> None:
    """MariaDB in the folder, its root without a password reached by a socket, and slurmdbd on top."""
    place, password = slurm.folder / "mariadb", secrets.token_hex(12)
    options = [f"--datadir={place}", "--user=root", "--no-defaults"]
    made = subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={place}", "--user=root",
         "--auth-root-authentication-method=normal", "--skip-test-db"],
        env=slurm.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    link = slurm.folder / "mariadb.socket"
    slurm.start(
        "mariadbd", "mariadbd", "--no-defaults", *options[:2], f"--socket={link}", f"--port={ports[4]}",
        "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        f"--pid-file={slurm.folder}/mariadb.pid",
    )  # fmt: skip
    client = ["mariadb", "--no-defaults", f"--socket={link}", "--user=root", "--execute"]
    wait_for("MariaDB", lambda: slurm.answers(*client, "select 1"))
    slurm.command(
        *client,
        "create database slurm_accounts; "
        f"create user slurm@localhost identified by '{password}'; "
        f"create user slurm@'127.0.0.1' identified by '{password}'; "
        "grant all on slurm_accounts.* to slurm@localhost; "
        "grant all on slurm_accounts.* to slurm@'127.0.0.1'",
    )
    conf = slurm.folder / "slurmdbd.conf"
    conf.write_text(
        DATABASE.format(folder=slurm.folder, host=socket.gethostname(), ports=ports, password=password)
    )
    conf.chmod(0o600)
    slurm.start("slurmdbd", "slurmdbd", "-D")
    wait_for("slurmdbd", lambda: slurm.answers("sacctmgr", "--noheader", "show", "cluster"), 90)
    slurm.command("sacctmgr", "--immediate", "add", "cluster", "nestwise")
    slurm.command("sacctmgr", "--immediate", "add", "account", "studies", "Cluster=nestwise")
    slurm.command("sacctmgr", "--immediate", "add", "user", "root", "Account=studies")


def _configure(slurm: Slurm, ports: list[int]) -> None:
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={slurm.cpus} RealMemory={slurm.memory} State=UNKNOWN"
        for name, port in zip(NODES, ports[1:3], strict=True)
    )
    database = (
        f"AccountingStorageHost=127.0.0.1\nAccountingStoragePort={ports[3]}\n"
        f"AccountingStoragePass={slurm.folder}/munge/socket"  # the socket of munge, not a password
    )
    text = CONTROLLER.format(
        folder=slurm.folder,
        host=socket.gethostname(),
        ports=ports,
        patience=slurm.patience,
        nodes=nodes,
        storage=f"accounting_storage/{'slurmdbd' if slurm.accounting else 'none'}",
        accounts=database if slurm.accounting else "",
    )
    conf = slurm.folder / "slurm.conf"
    conf.write_text(text)
    # Inside a job the plugin takes all variables of SLURM away but a few, and with them where this file is.
    (slurm.folder / "bin").mkdir()
    srun = slurm.folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)
    (slurm.folder / "state").mkdir()
    for name in NODES:
        (slurm.folder / f"spool-{name}").mkdir()


@contextmanager
def cluster(
    folder: Path, *, accounting: bool = False, patience: int = 15, cpus: int = 1, memory: int = 8000
) -> Iterator[Slurm]:
    """A running SLURM of two nodes; its daemons are stopped at the end, its logs stay in the folder.

    Parameters
    ----------
    folder : Path
        For configuration, state and logs; paths of sockets are limited to some 100 characters.
    accounting : bool
        Whether slurmdbd and a MariaDB keep accounts, so that `sacct` answers.
    patience : int
        Seconds after which a node that does not answer is given up.
    cpus, memory : int
        Processors and megabytes that each node offers, whatever the machine has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slurm, ports = Slurm(folder, accounting, patience, cpus, memory), free_ports(5)
    try:
        _configure(slurm, ports)
        _munge(slurm)
        if accounting:
            _database(slurm, ports)
        slurm.start("slurmctld", "slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        wait_for("slurmctld", lambda: slurm.answers("scontrol", "ping"))
        for node in NODES:
            slurm.start_node(node)
        wait_for("both nodes", lambda: all(slurm.node_is(node, "IDLE") for node in NODES))
        yield slurm
    finally:
        _stop(slurm)


def _stop(slurm: Slurm) -> None:
    """Cancel what runs, then stop the daemons, the last started first, by their ids."""
    if "slurmctld" in slurm.running:
        subprocess.run(["scancel", "--me"], env=slurm.environment, capture_output=True, check=False)
        deadline = time.monotonic() + 20
        while any(slurm.step_daemons(node) for node in NODES) and time.monotonic() < deadline:
            time.sleep(0.2)
    for process in reversed(slurm.running.values()):
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
