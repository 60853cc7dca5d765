"""Attack: work in confinement that tries everything a hostile model file might.

Real children under the real kernel. Each attack must change nothing outside, and the outcome must
say what was tried.
"""

from __future__ import annotations

import io
import os
import platform
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from secureml.confinement.limits import LimitName, Limits
from secureml.confinement.run import Job, run
from secureml.confinement.syscall_policy import ARCHITECTURES
from secureml.confinement.unavailable import ConfinementUnavailable

MIB = 1024**2
FOLDER = Path(__file__).with_name("confined")
CHECKOUT = Path(__file__).parents[2]
# So wide that a busy machine does not reach them; what a test is about is made narrow there.
WIDE = {"memory": 512 * MIB, "processor": 60, "wall": 120, "output": MIB, "messages": 64 * 1024}
ON_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86-64")
NEEDED_BY_NO_MODEL = """
    bpf io_uring_setup userfaultfd perf_event_open keyctl add_key request_key mount umount2 setns
    unshare pivot_root init_module finit_module delete_module kexec_load reboot swapon acct
    open_by_handle_at name_to_handle_at pidfd_open pidfd_getfd pidfd_send_signal ptrace kcmp
    process_vm_readv process_vm_writev execveat setuid setresuid setgroups capset personality
    shmget msgget semget mq_open inotify_init1 fanotify_init timer_create syslog settimeofday
    sethostname quotactl landlock_restrict_self seccomp fsopen open_tree move_mount mount_setattr
    io_setup setsid setrlimit lookup_dcookie remap_file_pages socketpair accept4 bind listen
    connect sendto recvmsg sendmmsg
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confinement is of Linux")


@pytest.fixture(scope="module", autouse=True)
def _confinable():
    try:
        run(Job("builtins:repr"), limits=Limits(**WIDE))
    except ConfinementUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture
def model(tmp_path):
    """A file that is given to the work, and its folder, which is readable."""
    folder = tmp_path / "given"
    folder.mkdir()
    path = folder / "model.joblib"
    path.write_bytes(b"a model")
    return path


@pytest.fixture
def attack(model, tmp_path):
    """Run an attack by its name; nothing may be left of it."""

    def start(name, *arguments, output=None, **narrow):
        before = snapshot(tmp_path)
        with model.open("rb") as file:
            outcome = run(
                Job(
                    f"hostile_work:{name}",
                    arguments=tuple(map(str, arguments)),
                    inputs={"model": file.fileno()},
                    readable=[model.parent],
                    search_path=[FOLDER],
                ),
                limits=Limits(**WIDE | narrow),
                output=tmp_path / "result" if output is None else output,
            )
        assert "GOT THROUGH" not in outcome.messages
        (tmp_path / "result").unlink(missing_ok=True)
        assert snapshot(tmp_path) == before
        return outcome

    return start


def snapshot(folder):
    """Return what a folder holds, with modes, owners and contents."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns,
                    path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }  # fmt: skip


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "narrow", "limit"),
    [
        ("eat_memory", {"memory": 64 * MIB}, LimitName.MEMORY),
        ("eat_shared_memory", {"memory": 64 * MIB}, LimitName.MEMORY),
        ("one_huge_array", {}, LimitName.MEMORY),
        ("loop", {"processor": 1}, LimitName.PROCESSOR),
        ("loop_and_ignore_signals", {"processor": 1}, LimitName.PROCESSOR),
        ("sleep", {"wall": 1.5}, LimitName.WALL),
        ("stop_itself", {"wall": 1.5}, LimitName.WALL),
        ("write_gigabytes", {}, LimitName.OUTPUT),
        ("write_gigabytes_and_ignore", {}, LimitName.OUTPUT),
        ("print_gigabytes", {}, LimitName.MESSAGES),
        ("start_threads", {"threads": 16, "memory": 1024 * MIB}, LimitName.THREADS),
        ("refused_without_end", {}, LimitName.REFUSALS),
    ],
)
def test_whatever_takes_more_than_its_share_is_ended_and_the_limit_named(
    attack, name, narrow, limit
):
    outcome = attack(name, **narrow)

    assert not outcome.ok
    assert outcome.limit is limit
    assert outcome.peak_memory < WIDE["memory"]


def test_memory_stays_bounded_for_whoever_asks_again_and_again(attack):
    outcome = attack("eat_memory_and_ignore", memory=64 * MIB, wall=3)

    assert outcome.limit in (LimitName.MEMORY, LimitName.WALL)
    assert outcome.peak_memory < 128 * MIB


def test_a_result_that_is_too_long_is_bounded_in_a_pipe_as_well(attack):
    sink = io.BytesIO()
    outcome = attack("write_gigabytes", output=sink)

    assert outcome.limit is LimitName.OUTPUT
    assert len(sink.getvalue()) <= MIB


def test_a_result_cannot_be_stretched_without_being_written(attack):
    outcome = attack("stretch_result")
    assert "File too large" in outcome.explain()


def test_open_files_are_bounded(attack):
    outcome = attack("open_files", files=32)
    assert "Too many open files" in outcome.explain()


def test_messages_are_kept_in_part_only(attack):
    outcome = attack("print_gigabytes")
    assert len(outcome.messages) <= 16 * 1024


def test_messages_cannot_drive_the_terminal_of_who_reads_them(attack):
    outcome = attack("clear_screen")
    assert outcome.messages.replace("\n", "").isprintable()
    assert "\\x1b[2J" in outcome.messages


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kind", "said"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "open a network socket"),
        (socket.AF_INET, socket.SOCK_DGRAM, "open a network socket"),
        (socket.AF_INET6, socket.SOCK_STREAM, "open a network socket"),
        (socket.AF_INET, socket.SOCK_RAW, "open a network socket"),
        (socket.AF_UNIX, socket.SOCK_STREAM, "open a Unix socket"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "open a Unix socket"),
        (socket.AF_NETLINK, socket.SOCK_RAW, "open a netlink socket"),
        (socket.AF_PACKET, socket.SOCK_RAW, "open a network socket"),
        (socket.AF_VSOCK, socket.SOCK_STREAM, "open a network socket"),
        (socket.AF_ALG, socket.SOCK_SEQPACKET, "open a network socket"),
    ],
)
def test_no_socket_of_any_family_is_opened(attack, family, kind, said):
    outcome = attack("open_socket", int(family), int(kind))

    assert not outcome.ok
    assert said in outcome.explain("the model file")


def test_a_listener_on_loopback_hears_nothing(attack):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        outcome = attack("connect", *server.getsockname())
        with pytest.raises(TimeoutError):
            server.accept()

    assert outcome.explain("the model file") == "the model file tried to open a network socket"


@pytest.mark.parametrize("abstract", [False, True], ids=["by path", "abstract"])
def test_a_server_on_a_unix_socket_hears_nothing(attack, model, abstract):
    name = f"@confinement-{os.getpid()}" if abstract else str(model.parent / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name.replace("@", "\0"))
        server.listen()
        server.settimeout(0.2)
        outcome = attack("connect_unix", name)
        with pytest.raises(TimeoutError):
            server.accept()

    assert "tried to open a Unix socket" in outcome.explain()


def test_pairs_of_sockets_and_names_of_hosts_are_refused(attack):
    assert attack("socket_pair").refusals[0].call == "socketpair"
    assert "socket" in attack("resolve").explain()


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/etc/shadow", "/proc/1/environ", "/proc/self/mem", "/proc/self/environ",
     "/proc/self/root/etc/passwd", "/usr/lib/../../etc/passwd",
     "/dev/kmsg", "/dev/mem", "/proc/PARENT/environ", "/proc/PARENT/mem", "pyproject.toml"],
)  # fmt: skip
def test_what_was_not_given_is_not_read(attack, path):
    path = str(CHECKOUT / path.replace("PARENT", str(os.getpid())))
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    outcome = attack("read", path)

    assert not outcome.ok
    assert outcome.unreadable_path == path
    assert path in outcome.explain()


def test_a_secret_beside_what_was_given_is_not_read_by_any_name(attack, model, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    (model.parent / "link").symlink_to(secret)
    (model.parent / "folder").symlink_to(tmp_path)
    for name in (secret, model.parent / "link", model.parent / "folder" / "secret",
                 model.parent / ".." / "secret"):  # fmt: skip
        outcome = attack("read", name)
        assert not outcome.ok
        assert "s3cret" not in outcome.messages


def test_folders_that_were_not_given_are_not_listed(attack, tmp_path):
    for folder in ("/etc", "/home", "/proc", tmp_path, CHECKOUT):
        assert not attack("list_folder", folder).ok


def test_a_link_that_is_turned_round_later_opens_nothing(attack, model, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.joblib").write_text("s3cret")
    turned = tmp_path / "link"
    turned.symlink_to(model.parent)
    job = Job("hostile_work:read", (str(turned / "model.joblib"),), readable=[turned],
              search_path=[FOLDER])  # fmt: skip
    assert "a model" in run(job, limits=Limits(**WIDE)).messages
    turned.unlink()
    turned.symlink_to(outside)
    given = Job(job.function, job.arguments, readable=[model.parent], search_path=[FOLDER])
    assert "s3cret" not in run(given, limits=Limits(**WIDE)).messages


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm", "/var/tmp", "/", "."])
def test_nothing_is_written_anywhere(attack, where):
    path = Path(where, f"confined-{os.getpid()}")
    outcome = attack("write", path)

    assert not path.exists()
    assert not outcome.ok
    assert outcome.refusals[0].call == "openat"
    if os.geteuid() == 0:
        assert outcome.explain() == (
            f"the work tried to open {path} for writing, and ended without a result"
        )


def test_its_own_model_and_code_are_not_changed(attack, model):
    code = FOLDER / "hostile_work.py"
    before = code.read_bytes()
    outcome = attack("append_and_ignore", model, code)

    assert code.read_bytes() == before
    assert [refusal.call for refusal in outcome.refusals] == ["openat", "openat"]


def test_no_name_mode_owner_or_time_is_changed(attack, model, tmp_path):
    outcome = attack("change_files", model, tmp_path / "new")
    assert len(outcome.refusals) == 12
    assert "was refused to delete" in outcome.explain()


def test_its_input_is_read_only_however_it_is_opened(attack):
    assert "Bad file descriptor" in attack("write_input").explain()
    assert attack("reopen_input").refusals[0].call == "openat"


def test_descriptors_of_the_parent_are_not_inherited(attack, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    with secret.open() as file, socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(file.fileno(), True)
        os.set_inheritable(server.fileno(), True)
        assert attack("use_foreign_descriptors").ok


def test_a_file_in_memory_is_refused(attack):
    assert attack("in_memory_file").refusals[0].call == "memfd_create"


# --- other processes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["fork_without_end", "fork_and_ignore", "shell_by_system", "spawn", "posix_spawn",
             "daemon"],
)  # fmt: skip
def test_no_process_is_started(attack, tmp_path, name):
    outcome = attack(name, tmp_path / "left")
    assert outcome.explain("the model file") == "the model file tried to start another process"


def test_no_program_is_run_in_its_place(attack, tmp_path):
    outcome = attack("run_shell", tmp_path / "left")

    assert outcome.ending_refusal.call == "execve"
    if os.geteuid() == 0:
        assert outcome.explain() == "the work tried to run the program /bin/sh"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kill_parent", "send a signal to another process"),
        ("kill_everyone", "send a signal to another process"),
        ("kill_parent_by_thread", "send a signal to another process"),
        ("ptrace_parent", "reach into another process"),
        ("read_parent_memory", "reach into another process"),
        ("pidfd_of_parent", "reach into another process"),
        ("raise_its_limits", "change its limits"),
        ("leave_the_root", "make the system call chroot"),
        ("new_namespace", "make the system call unshare"),
    ],
)
def test_what_reaches_out_of_the_process_ends_it(attack, name, said):
    assert attack(name).explain() == f"the work tried to {said}"


def test_its_own_memory_is_not_written_through_a_file(attack):
    assert attack("write_own_memory_file").refusals[0].call == "openat"


def test_it_ends_with_its_parent_and_cannot_unask_that(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from secureml.confinement.limits import Limits
        from secureml.confinement.run import Job, run
        run(Job("hostile_work:survive_the_parent", search_path=[Path({str(FOLDER)!r})]),
            limits=Limits(), output=Path(sys.argv[1]))
    """)
    result = tmp_path / "result"
    with subprocess.Popen([sys.executable, "-B", "-c", script, result], cwd=CHECKOUT) as parent:
        until(lambda: result.exists() and result.read_bytes() == b"runs")
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) == 1
        parent.kill()
    until(lambda: not is_running(int(children[0])))


def until(happened):
    """Wait for something that must come; a test that waits in vain fails."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- the kernel ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEEDED_BY_NO_MODEL.split())
def test_a_call_that_no_model_needs_ends_the_work_and_is_named(attack, name):
    number = ARCHITECTURES[platform.machine()][1].get(name)
    if number is None:
        pytest.skip(f"no {name} on this processor")
    outcome = attack("raw_call", number, 0, 0, 0)

    assert outcome.ending_refusal.call == name
    assert not outcome.ok


@ON_X86
@pytest.mark.parametrize(
    "code",
    [
        "b814000000cd80c3",  # mov eax, 20 (getpid of i386); int 0x80; ret
        "b80b000000cd80c3",  # mov eax, 11 (execve of i386); int 0x80; ret
        "b82700004" + "00f05c3",  # mov eax, 39 | 0x40000000 (getpid of x32); syscall; ret
    ],
    ids=["32-bit getpid", "32-bit execve", "x32 getpid"],
)
def test_the_other_ways_into_the_kernel_are_closed(attack, code):
    outcome = attack("machine_code", code)
    assert outcome.explain() == "the work tried to make a call by another ABI"


def test_calls_of_a_later_kernel_are_not_there(attack):
    outcome = attack("raw_call", 1000, 0)
    assert outcome.ok
    assert outcome.refusals == ()


def test_no_filter_of_its_own_hides_what_is_refused(attack):
    assert attack("new_filter").refusals[0].call == "prctl"


def test_a_crash_and_an_early_end_are_told(attack):
    assert attack("crash").explain() == "the work was ended by the signal SIGSEGV"
    assert attack("exit_well").ok  # its result must be judged for itself


def test_what_honest_libraries_try_is_noted_and_does_not_end_them(attack):
    outcome = attack("try_file_locks", output=io.BytesIO())

    assert outcome.ok
    assert [refusal.call for refusal in outcome.refusals] == ["mkdir"]


def test_many_at_once_keep_apart(attack, model):
    """Threads of one parent: each has its own filter, listener and result."""
    found = {}

    def one(number):
        job = Job("hostile_work:open_socket", (str(number), "1"), search_path=[FOLDER])
        found[number] = run(job, limits=Limits(**WIDE)).refusals[0].arguments[0]

    threads = [threading.Thread(target=one, args=(family,)) for family in (2, 10, 16, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {2: 2, 10: 10, 16: 16, 17: 17}


def children():
    """Return the processes that this one has started and not yet waited for."""
    return {
        int(found)
        for task in Path("/proc/self/task").iterdir()
        for found in (task / "children").read_text().split()
    }


def test_a_child_is_left_behind_by_no_attack(attack):
    before = children()  # of other tests: servers, joblib's tracker
    attack("sleep", wall=1)
    attack("print_gigabytes")
    assert children() <= before


# --- where a mechanism is missing ----------------------------------------------------------------


def test_without_landlock_nothing_runs_unless_that_was_accepted(model):
    job = Job("hostile_work:read", (str(model),), search_path=[FOLDER])
    with pytest.raises(ConfinementUnavailable, match=r"landlock \(not asked for\) .*--unconfined"):
        run(job, limits=Limits(**WIDE), mechanisms=("seccomp",), switch="--unconfined")

    accepted = run(job, limits=Limits(**WIDE), mechanisms=("seccomp",), required=("seccomp",))
    assert "a model" in accepted.messages


def test_without_landlock_the_other_mechanisms_hold(tmp_path):
    alone = {"mechanisms": ("seccomp",), "required": ("seccomp",), "limits": Limits(**WIDE)}
    path = tmp_path / "left"
    for name in ("write", "spawn", "daemon"):
        outcome = run(Job(f"hostile_work:{name}", (str(path),), search_path=[FOLDER]), **alone)
        assert outcome.refusals
        assert not path.exists()


def test_without_seccomp_landlock_holds(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    alone = {"mechanisms": ("landlock",), "required": ("landlock",), "limits": Limits(**WIDE)}
    read = Job("hostile_work:read", (str(secret),), search_path=[FOLDER])
    assert "s3cret" not in run(read, **alone).messages
    change = Job("hostile_work:write", (str(tmp_path / "left"),), search_path=[FOLDER])
    assert not run(change, **alone).ok
    assert not (tmp_path / "left").exists()


def test_with_namespaces_alone_nothing_is_written_and_no_host_is_reached(tmp_path):
    job = Job("hostile_work:write", (str(tmp_path / "left"),), search_path=[FOLDER])
    outcome = run(job, limits=Limits(**WIDE), mechanisms=("namespaces",), required=())
    if "namespaces" not in outcome.report.active:
        pytest.skip(outcome.report.inactive["namespaces"])
    assert "Read-only file system" in outcome.messages
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = tuple(map(str, server.getsockname()))
        call = Job("hostile_work:connect", address, search_path=[FOLDER])
        outcome = run(call, limits=Limits(**WIDE), mechanisms=("namespaces",), required=())
    assert "Network is unreachable" in outcome.messages


def test_under_an_outer_filter_with_a_listener_all_is_refused_but_not_named(tmp_path):
    """Linux has one listener for a process and its children; then the kernel ends them alone."""
    script = textwrap.dedent(f"""
        from pathlib import Path
        from secureml.confinement import linux, seccomp
        from secureml.confinement.bpf import ALLOW, RETURN, Instruction
        from secureml.confinement.limits import Limits
        from secureml.confinement.run import Job, run

        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.install([Instruction(RETURN, 0, 0, ALLOW)], listener=True)
        for name in ("spawn", "write", "connect"):
            arguments = ("127.0.0.1", "9") if name == "connect" else ({str(tmp_path / "left")!r},)
            job = Job(f"hostile_work:{{name}}", arguments, search_path=[Path({str(FOLDER)!r})])
            outcome = run(job, limits=Limits())
            print(outcome.report.has_listener, outcome.signal, outcome.explain())
    """)
    told = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=CHECKOUT, check=True, capture_output=True,
        text=True,
    ).stdout.splitlines()  # fmt: skip
    assert told == [
        "False SIGSYS the work made a system call that is refused",
        f"False None the work tried to open {tmp_path / 'left'}, which it may not read",
        "False SIGSYS the work made a system call that is refused",
    ]
    assert not (tmp_path / "left").exists()
