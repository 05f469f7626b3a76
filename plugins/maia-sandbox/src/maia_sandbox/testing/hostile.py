"""Hostile programs that every sandbox must stop, as data. `SandboxSuite` runs and judges them.

Each is judged by its effect: no file in `@CANARY@`, no connection to `@PORT@`, no secret and no `ESCAPED` in what comes
back, the host's objects unchanged, no process left over, and the next program works. What a program says about its own
failure does not matter, so the same list serves sandboxes that stop it in different ways.
"""

# ruff: noqa: E501 (programs as data)

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import NamedTuple

ESCAPED = "ESCAPED"
"""Printed by a program that reached what it must not reach and left no other trace."""


class Hostile(NamedTuple):
    """One program; `group` is the kind of attack.

    In the program `@CANARY@` stands for a folder that anybody may write to, `@SECRET@` for a file that anybody may read,
    `@PORT@` for a loopback port that listens.
    """

    group: str
    name: str
    program: str


RAW = """
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    def call(number, *arguments):
        result = libc.syscall(ctypes.c_long(number), *arguments)
        if result >= 0:
            print("ESCAPED by system call", number)
        return result
"""
"""Raw system calls; the numbers below are those of x86-64."""

FRAME = """
    import json, os, struct
    def send(header, blob=b"", lengths=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        frame = struct.pack(">II", *(lengths or (len(text), len(blob)))) + text + blob
        for fd in range(3, 64):
            try:
                os.write(fd, frame)
            except OSError:
                pass
"""
"""Writes frames of its own on whatever channel it finds."""

OTHERS = (
    RAW
    + """
    own = libc.getpid()
    others = [pid for pid in (*range(1, 400), *range(own - 200, own + 200)) if pid > 0 and pid != own]
"""
)
"""Numbers of other processes, among them this machine's first one and the host."""

ALIVE = (
    FRAME
    + """
    import os, struct, json
    def read(fd, size):
        data = b""
        while len(data) < size: data += os.read(fd, size - len(data))
        return data
    def answer_the_next():
        for fd in range(3, 64):
            try: head, tail = struct.unpack(">II", read(fd, 8))
            except OSError: continue
            start = json.loads(read(fd, head)); read(fd, tail)
            send({"op": "started", "token": start["token"]})
            send({"op": "text", "to": "value"}, b"ESCAPED")
            send({"op": "done"})
"""
)
"""Reports the end of a program and answers the next one with a forged result."""

FORGER = (
    ALIVE
    + """
    import signal, sys
    def idle():
        worker, text = sys.modules["sandboxed.worker"], "Stack (most recent call first):\\n"
        waiting = (worker.Pipe._exactly, 4), (worker.frames.read, 10), (worker.Pipe.hear, 3), (worker._serve, 2)
        for function, line in waiting:
            code = function.__code__
            text += f'  File "{code.co_filename}", line {code.co_firstlineno + line} in {code.co_name}\\n'
        return text + '  File "<string>", line 1 in <module>\\n'
    def forge():
        text = idle().encode()
        send({"op": "done"})
        for _ in range(10**6): pass
        os.write(2, text)
        while True: answer_the_next()
"""
)
"""Also writes the stack that a waiting worker would write, without being one."""

_PROGRAMS: dict[str, dict[str, str]] = {
    "files": {
        "open": "print(open('/etc/passwd').read(), 'ESCAPED')",
        "secret file": "print(open('@SECRET@').read())",
        "pathlib": "import pathlib\nprint(pathlib.Path('@SECRET@').read_text())",
        "io.open_code, os.open": """
            import io, os
            for read in (lambda: io.open_code('@SECRET@').read(), lambda: os.read(os.open('@SECRET@', 0), 99)):
                try: print(read())
                except Exception as error: print(type(error))
        """,
        "numpy and PIL open files": """
            import numpy, PIL.Image
            for read in (lambda: numpy.fromfile('@SECRET@', 'uint8').tobytes(), lambda: numpy.memmap('@SECRET@').tobytes()):
                try: print(read())
                except Exception as error: print(type(error))
            PIL.Image.new('RGB', (9, 9)).save('@CANARY@/image.png')
        """,
        "write": "open('@CANARY@/written', 'w').write('x')",
        "write to common places": """
            import os
            for place in ('@CANARY@', '/tmp', '/dev/shm', '/var/tmp', '.'):
                try:
                    open(os.path.join(place, 'maia-hostile'), 'w').write('x')
                    print('ESCAPED', place)
                except Exception: pass
        """,
        "folders and links": """
            import os
            for attempt in (
                lambda: os.mkdir('@CANARY@/folder'), lambda: os.symlink('/', '@CANARY@/link'),
                lambda: os.mkfifo('@CANARY@/fifo'), lambda: os.link('@SECRET@', '@CANARY@/hard'),
                lambda: os.rename('@SECRET@', '@CANARY@/moved'), lambda: os.mknod('@CANARY@/node'),
                lambda: os.unlink('@SECRET@'), lambda: os.truncate('@SECRET@', 0), lambda: os.chmod('@SECRET@', 0o777),
                lambda: os.utime('@SECRET@'), lambda: os.setxattr('@SECRET@', 'user.x', b'x'),
            ):
                try:
                    attempt()
                    print('ESCAPED')
                except Exception: pass
        """,
        "metadata": """
            import os
            for attempt in (
                lambda: os.listdir('/'), lambda: os.stat('@SECRET@'), lambda: list(os.scandir('/proc')),
                lambda: os.readlink('/proc/self/exe'), lambda: os.statvfs('/'), lambda: os.getcwd() != '/' or 1 / 0,
            ):
                try:
                    if attempt(): print('ESCAPED')
                except Exception: pass
            print('ESCAPED' if os.path.exists('@SECRET@') or os.access('@SECRET@', os.R_OK) else 'nothing there')
        """,
        "import of what is loaded by path": """
            import sys, importlib.util, importlib.machinery
            for place in ('@SECRET@', '/etc/passwd'):
                for loader in (importlib.machinery.SourceFileLoader, importlib.machinery.ExtensionFileLoader, importlib.machinery.SourcelessFileLoader):
                    try: print(loader('x', place).load_module())
                    except BaseException as e: print(type(e))
            import linecache, inspect, tokenize
            print(linecache.getlines('@SECRET@'))
        """,
    },
    "secrets": {
        "/proc": """
            for path in ('/proc/self/environ', '/proc/1/environ', '/proc/self/maps', '/proc/self/mem', '/proc/cpuinfo'):
                try: print('ESCAPED', open(path, 'rb').read(200))
                except Exception: pass
        """,
        "/proc of the parent": "import os\nprint(open(f'/proc/{os.getppid()}/environ').read(), 'ESCAPED')",
        "environment": "import os\nprint(dict(os.environ), os.getenv('MAIA_HOSTILE_SECRET'))",
        "environment in C": """
            import ctypes
            environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')
            i = 0
            while environ and environ[i]:
                print(environ[i])
                i += 1
        """,
        "host objects by gc": """
            import gc
            for thing in gc.get_objects():
                if 'maia_core' in str(getattr(type(thing), '__module__', '')): print('ESCAPED', type(thing))
                if isinstance(thing, dict) and 'hostile_secret' in thing: print('ESCAPED', thing)
        """,
        "host objects by frames": """
            import sys
            frame = sys._getframe()
            while frame:
                for name, value in {**frame.f_globals, **frame.f_locals}.items():
                    if name == 'hostile_secret' or 'maia_core' in str(getattr(value, '__module__', '')): print('ESCAPED', name)
                frame = frame.f_back
        """,
        "host objects by a traceback": """
            def run_experiment(system, tools):
                try:
                    tools.fail()
                except Exception as error:
                    trace = error.__traceback__
                    while trace:
                        print({name: str(value)[:200] for name, value in trace.tb_frame.f_locals.items()})
                        print('ESCAPED' if 'suite_secret' in trace.tb_frame.f_globals else '')
                        trace = trace.tb_next
                    print(error.__cause__, error.__context__)
        """,
        "core and key rings": RAW + "    call(250, 0, -3, 0, 0); call(250, 11, -3, 0, 0)\n",
    },
    "network": {
        "TCP": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 1).send(b'x')",
        "TCP by _socket": """
            import _socket
            s = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM); s.connect(('127.0.0.1', @PORT@)); print('ESCAPED')
        """,
        "UDP, local, raw and packet sockets": """
            import _socket
            for family, kind in ((2, 2), (1, 1), (1, 2), (2, 3), (10, 1), (16, 3), (17, 3), (38, 5), (40, 1)):
                try:
                    _socket.socket(family, kind)
                    print('ESCAPED', family, kind)
                except OSError: pass
        """,
        "a pair of sockets": "import _socket\n_socket.socketpair()\nprint('ESCAPED')",
        "connect by the channel's own descriptor": """
            import _socket
            for fd in range(3, 64):
                try:
                    _socket.socket(2, 1, 0, fd).connect(('127.0.0.1', @PORT@))
                    print('ESCAPED')
                except OSError: pass
        """,
        "name lookup": "import _socket\nprint(_socket.getaddrinfo('localhost', 80), 'ESCAPED')",
    },
    "processes": {
        "os.system": "import os\nprint(os.system('touch @CANARY@/system'))",
        "popen": "import os\nprint(os.popen('touch @CANARY@/popen').read())",
        "subprocess": "import subprocess\nsubprocess.run(['touch', '@CANARY@/subprocess'])",
        "_posixsubprocess, spawn": """
            import os
            os.posix_spawn('/usr/bin/touch', ['touch', '@CANARY@/spawn'], {})
        """,
        "exec": "import os\nos.execv('/usr/bin/touch', ['touch', '@CANARY@/exec'])",
        "fork": """
            import os
            for _ in range(20):
                if os.fork() == 0:
                    open('@CANARY@/fork', 'w'); os._exit(0)
                print('ESCAPED')
        """,
        "threads": """
            import threading, time
            def spin():
                while True: pass
            for _ in range(50):
                threading.Thread(target=spin, daemon=True).start()
            print('ESCAPED')
        """,
        "subclasses walk to popen": """
            for cls in object.__subclasses__():
                space = getattr(getattr(cls, '__init__', None), '__globals__', {})
                for name in ('system', 'popen'):
                    if callable(space.get(name)):
                        try: space[name]('touch @CANARY@/subclasses')
                        except Exception: pass
        """,
        "kill the parent": """
            import os, signal
            for pid in (os.getppid(), 1, -1, 0):
                for number in (0, signal.SIGTERM, signal.SIGKILL):
                    try:
                        os.kill(pid, number)
                        print('ESCAPED', pid)
                    except OSError: pass
        """,
        "raise its own limits": """
            import resource
            for limit in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
                try:
                    resource.setrlimit(limit, (-1, -1))
                    print('ESCAPED')
                except Exception: pass
        """,
        "limits by ctypes": RAW
        + """
    import struct
    for limit in range(16):
        call(302, 0, limit, struct.pack('QQ', 2**64 - 1, 2**64 - 1), None)
        call(160, limit, struct.pack('QQ', 2**64 - 1, 2**64 - 1))
""",
    },
    "other processes": {
        "their processors": OTHERS
        + """
    for pid in others: call(204, pid, ctypes.c_size_t(128), ctypes.create_string_buffer(128))
""",
        "their processor time": OTHERS
        + """
    import time
    for pid in others:
        for kind in (0, 1, 2, 4, 6):
            clock = ctypes.c_long((~pid << 3) | kind)
            for number in (228, 229): call(number, clock, ctypes.create_string_buffer(16))
            call(230, clock, 0, bytes(16), None)
""",
        "their processor time in Python": """
            import time
            for pid in range(1, 400):
                for read in (time.clock_gettime, time.clock_gettime_ns, time.clock_getres):
                    try: first, second = read((~pid << 3) | 2), read((~pid << 3) | 2)
                    except OSError: continue
                    if first < 10**9: print('ESCAPED', pid, first)
        """,
        # getpriority, ioprio_get, sched_getscheduler, sched_getparam, sched_getattr, sched_rr_get_interval, getpgid,
        # getsid, tkill, kill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, get_robust_list, capget, pidfd_open,
        # process_mrelease, move_pages, prlimit64, wait4
        "what else tells of them": OTHERS
        + """
    for pid in others:
        for number in (145, 143, 315, 148, 121, 124, 200, 62, 129, 434, 448, 279, 302, 61):
            call(number, pid, 0, 0, 0, 0)
        call(140, 0, pid); call(252, 1, pid); call(234, pid, pid, 0); call(297, pid, pid, 0, bytes(128)); call(274, pid, 0, 0)
        call(125, struct_of(pid), None)
""".replace("struct_of(pid)", "(0x20080522).to_bytes(4, 'little') + pid.to_bytes(4, 'little')"),
        "numbers with high bits": OTHERS
        + """
    high = 0x100000000
    for pid in others:
        call(228, ctypes.c_long(high | (~pid << 3 | 2) & 0xFFFFFFFF), ctypes.create_string_buffer(16))
        call(204, ctypes.c_long(high | pid), ctypes.c_size_t(128), ctypes.create_string_buffer(128))
        call(234, ctypes.c_long(own << 32 | pid), pid, 0)
""",
        "memory of them": OTHERS
        + """
    for pid in others:
        for number in (310, 311): call(number, pid, bytes(16), 1, bytes(16), 1, 0)
        call(101, 16, pid, 0, 0); call(312, own, pid, 0, 0, 0)
""",
        "the queue of signals that all share": RAW
        + """
    libc.getpid.restype = ctypes.c_int
    libc.sigprocmask(0, b'\\xff' * 128, None)
    own, sent = libc.getpid(), 0
    for number in range(34, 64):
        for _ in range(2000): sent += libc.syscall(ctypes.c_long(234), own, own, number) == 0
    if sent > 100: print('ESCAPED', sent)
""",
        "every other system call": RAW
        + """
    # All that are not allowed. Those left out are allowed, or end or block the caller where they are not refused.
    harmless = {0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 23, 24, 25, 28, 34, 35, 39, 60, 61, 96, 98, 100, 102, 104, 107,
                108, 128, 130, 131, 186, 201, 202, 204, 219, 228, 229, 230, 231, 234, 270, 271, 273, 309, 318, 324, 334,
                335, 336}  # The last two are probes of the kernel, which ends a process that makes them itself.
    for number in range(470):
        if number not in harmless: call(number, 0, 0, 0, 0, 0, 0)
""",
    },
    "kernel": {
        "dangerous system calls": RAW
        + """
    # ptrace, process_vm_readv, mount, unshare, setns, io_uring_setup, bpf, memfd_create, clone, clone3, execve, fork,
    # perf_event_open, userfaultfd, keyctl, add_key, pidfd_open, pidfd_getfd, kexec_load, init_module, shmget, msgget,
    # personality, chroot, pivot_root, setuid, prctl, seccomp, landlock, inotify_init, fanotify_init, timerfd, eventfd,
    # mq_open, name_to_handle_at, open_by_handle_at, kcmp, process_madvise, sched_setaffinity, setpriority, ioctl
    for number in (101, 310, 165, 272, 308, 425, 321, 319, 56, 435, 59, 57, 298, 323, 250, 248, 434, 438, 246, 175, 29, 68,
                   135, 161, 155, 105, 157, 317, 444, 253, 300, 283, 290, 240, 303, 304, 312, 440, 203, 141, 16):
        call(number, 0, 0, 0, 0, 0, 0)
""",
        "stat by descriptor": RAW + "    call(262, 0, b'', ctypes.create_string_buffer(256), 0x1000)\n",
        "calls of the other ABI": RAW + "    call(0x40000000 + 2, b'@SECRET@', 0)\n",
        "executable memory": RAW
        + """
    libc.mmap.restype = ctypes.c_void_p
    if libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)) not in (None, 2**64 - 1):
        print('ESCAPED by mmap')
    page = libc.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
    call(10, ctypes.c_void_p(page), ctypes.c_size_t(4096), 7)
""",
        "a null pointer": "import ctypes\nctypes.string_at(0)",
        "writing over the interpreter": "import ctypes\nctypes.memset(id(None), 0, 64)\nprint(None)",
    },
    "proxies": {
        "private attributes": """
            def run_experiment(system, tools):
                for path in ('api_key', '__globals__', '__self__', '_ask', 'host', 'neuron.__globals__', 'neuron.__self__',
                             'neuron.__closure__', '__class__.__mro__', '__init__.__globals__'):
                    thing = system
                    try:
                        for name in path.split('.'): thing = getattr(thing, name)
                        print(path, str(thing)[:2000])
                        if isinstance(thing, dict): print('ESCAPED' if 'suite_secret' in thing else 'nothing')
                    except AttributeError: pass
        """,
        "format walk": """
            def run_experiment(system, tools):
                for text in ('{0.neuron.__globals__}', '{0.__class__.__init__.__globals__}', '{0.neuron.__self__.secret}'):
                    try: print(text.format(system)[:5000])
                    except Exception: pass
        """,
        "replace a method": """
            def run_experiment(system, tools):
                try: system.neuron = lambda images: ([99.0], images)
                except Exception: pass
                type(system).neuron = staticmethod(lambda images: ([99.0], images))
                type(tools).echo = staticmethod(lambda value: 'patched')
        """,
        "forged handle": """
            def run_experiment(system, tools):
                image = tools.image()
                for handle in (10**6, -1, '1', None, 2**70):
                    try:
                        object.__setattr__(image, '_handle', handle)
                        print('ESCAPED', image.to_pil())
                    except Exception: pass
        """,
        "a handle of a freed image": """
            def run_experiment(system, tools):
                image = tools.image(); handle = image._handle
                del image
                tools.echo(1)
                other = tools.image(1)
                object.__setattr__(other, '_handle', handle)
                print('ESCAPED', other.to_pil())
        """,
    },
    "time": {
        "loop": "while True: pass",
        "loop that catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "loop in C": "sum(range(10**13))",
        "backtracking": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
        "huge power": "7 ** 10**9",
        "ignored signals": """
            import signal
            for number in range(1, 65):
                try: signal.signal(number, signal.SIG_IGN)
                except Exception: pass
            while True: pass
        """,
        "sleep": "import time\ntime.sleep(10**6)",
        "sleep in C": "import ctypes\nctypes.CDLL(None).sleep(10**6)",
        "blocked signals": """
            import signal
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            while True: pass
        """,
        "destructor after return": """
            class Late:
                def __del__(self):
                    while True:
                        try:
                            while True: pass
                        except BaseException: pass
            def run_experiment(system, tools):
                late = Late(); late.me = late
                return 1
        """,
        "endless text": """
            class Endless:
                def __repr__(self):
                    while True: pass
            def run_experiment(system, tools): return Endless()
        """,
        "stops itself in other ways": "import signal\nfor number in (20, 21, 22): signal.raise_signal(number)\nwhile True: pass",
        "waits in the kernel": RAW
        + "    libc.syscall(ctypes.c_long(202), ctypes.create_string_buffer(8), 0, 0, None)\n",
        "stops itself": "import signal\nsignal.raise_signal(signal.SIGSTOP)",
        "waits for ever": "import ctypes\nctypes.CDLL(None).pause()\nctypes.CDLL(None).read(3, bytes(9), 9)",
        "exit handlers": """
            import atexit, sys
            def spin():
                while True: pass
            atexit.register(spin)
            sys.exit()
        """,
    },
    "memory": {
        "list": "x = [0] * 10**10",
        "growing": "x = []\nwhile True: x.append(bytearray(10**6))",
        "caught again and again": "x = []\nwhile True:\n    try: x.append(bytearray(10**7))\n    except MemoryError: pass",
        "numpy": "import numpy\nx = numpy.ones((10**5, 10**5))",
        "PIL": "import PIL.Image\nx = [PIL.Image.new('RGB', (20000, 20000)) for _ in range(50)]",
        "decompression": """
            import zlib
            x = b'\\0' * 10**8
            data = zlib.compress(x)
            keep = [zlib.decompress(data) for _ in range(100)]
        """,
        "anonymous map": "import mmap\nx = mmap.mmap(-1, 4 << 30)\nfor i in range(0, 4 << 30, 4096): x[i] = 1",
        "string": "x = 'x'\nwhile True: x += x",
        "integer": "x = 1 << (1 << 36)",
        "huge format widths": "def run_experiment(system, tools):\n    return f'{1:>{10**10}}'",
        "unicode normalisation blow-up": "import unicodedata\ndef run_experiment(system, tools):\n    return unicodedata.normalize('NFKD', '\\ufdfa' * 10**8)",
    },
    "recursion": {
        "function": "def f(n): return f(n + 1)\nf(0)",
        "without a limit": "import sys\nsys.setrecursionlimit(2**30)\ndef f(n): return f(n + 1)\nf(0)",
        "in C": "import sys\nsys.setrecursionlimit(2**30)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        "source": "x = " + "(" * 500 + ")" * 500,
        "deep source": "x = eval('-' * 10**6 + '1')",
    },
    "floods": {
        "large prints": "while True: print('x' * 10**7)",
        "small prints": "while True: print('x')",
        "small prints, caught": "while True:\n    try: print('x')\n    except BaseException: pass",
        "standard error in C": "import os\nwhile True: os.write(2, b'x' * 60000)",
        "calls": "def run_experiment(system, tools):\n    while True: tools.echo(1)",
        "calls, caught": """
            def run_experiment(system, tools):
                while True:
                    try: tools.echo(1)
                    except BaseException: pass
        """,
        "images": """
            import numpy
            def run_experiment(system, tools):
                kept = []
                for i in range(10**6): kept.append(tools.echo(numpy.full((2, 2, 3), (i % 256, i // 256 % 256, 1), 'uint8')))
        """,
        "a large argument": "def run_experiment(system, tools): tools.echo('x' * 10**8)",
        "many large images": """
            import numpy
            def run_experiment(system, tools): tools.echo([numpy.zeros((4000, 4000, 3), 'uint8')] * 3)
        """,
        "large images that are kept": """
            import numpy
            def run_experiment(system, tools):
                kept = [tools.echo(numpy.full((2200, 2200, 3), i, 'uint8')) for i in range(100)]
                print('ESCAPED')
        """,
        "fills the error pipe, then faults": "import ctypes, os\nos.write(2, b'x' * 65536)\nctypes.string_at(0)",
        "an image with a huge side": "import numpy\ndef run_experiment(s, tools): tools.echo(numpy.zeros((1, 10**6, 3), 'uint8'))",
        "a large return": "def run_experiment(system, tools): return 'x' * 10**8",
        "a large error": "raise ValueError('x' * 10**8)",
    },
    "values": {
        "an iterator without end": "import itertools\ndef run_experiment(system, tools):\n    tools.echo(itertools.count())",
        "an iterator of itself": """
            class Itself:
                def __iter__(self): return self
                def __next__(self): return self
            def run_experiment(system, tools):
                tools.echo(Itself())
        """,
        "an iterator that calls the host": """
            def calls(depth):
                yield tools.echo(calls(depth + 1)) if depth else tools.echo("x")
                raise SystemExit(3)
            def run_experiment(system, tools):
                for depth in (0, 1):
                    try: tools.echo(calls(depth))
                    except Exception as error: print(type(error))
        """,
        "an iterator that changes the crossing": """
            def change():
                import sys
                crossing = sys.modules.get("sandboxed.values")
                if crossing: crossing.MAX_VALUES = 10**9
                while True: yield "x" * 10**6
            def run_experiment(system, tools):
                tools.echo(change())
        """,
        "cyclic": "def run_experiment(system, tools):\n    x = []; x.append(x)\n    tools.echo(x)",
        "cyclic return": "def run_experiment(system, tools):\n    x = {}; x['x'] = x\n    return x",
        "deep": "def run_experiment(system, tools):\n    x = []\n    for _ in range(10**5): x = [x]\n    tools.echo(x)",
        "deep return": "def run_experiment(system, tools):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x",
        "numbers of one hash": "def run_experiment(system, tools): tools.echo({i * (2**61 - 1): None for i in range(10**6)})",
        "one text in many places": "def run_experiment(system, tools): tools.echo(['x' * 10**6] * 10**5)",
        "one list in many places": """
            def run_experiment(system, tools):
                x = [1]
                for _ in range(60): x = [x, x]
                try: tools.echo(x)
                except Exception: pass
                return x
        """,
        "numbers": "def run_experiment(system, tools):\n    for x in (10**5000, 10**30, float('nan'), -0.0): tools.echo(x)",
        "number return": "def run_experiment(system, tools): return 10**5000",
        "surrogates": "def run_experiment(system, tools):\n    print('\\ud800')\n    tools.echo('\\udfff')\n    return '\\ud800'",
        "long names": """
            def run_experiment(system, tools):
                for ask in (lambda: getattr(tools, 'x' * 10**6), lambda: tools.echo(**{'ecko' * 10**6: 1}),
                            lambda: getattr(tools.image(), 'titel' * 10**6), lambda: getattr(system, 'neuron' * 10**6)):
                    try: ask()
                    except Exception: pass
                raise NameError('x', name='run_experimant' * 10**5)
        """,
        "images with lies": """
            import PIL.Image, numpy
            class Liar(PIL.Image.Image):
                size = (9, 9)
                mode = 'RGB'
                info = {}
                def tobytes(self, *a): return b'x'
            class Pixels(numpy.ndarray):
                def tobytes(self, *a): return b'x'
            def run_experiment(system, tools):
                for lie in (Liar(), numpy.zeros((9, 9, 3), 'uint8').view(Pixels)):
                    try: tools.echo(lie)
                    except Exception: pass
                return Liar()
        """,
        "an error that hides": """
            class Odd(Exception):
                __class__ = property(lambda self: 1 / 0)
                name = property(lambda self: [][0])
                __str__ = __repr__ = lambda self: 'x' * 10**9
            raise Odd()
        """,
        "large returned images": "import numpy\ndef run_experiment(s, t): return [numpy.zeros((4096, 4096, 3), 'uint8')] * 60",
        "returned images without end": """
            class Endless(dict):
                def values(self):
                    while True: yield [self]
            def run_experiment(system, tools): return [Endless()]
        """,
        "surrogate names": "def run_experiment(system, tools): tools.echo(**{'\\ud800': 1, '\\0': 2, 'self': 3})",
        "evil objects": """
            import os
            class Evil:
                def __reduce__(self): return os.system, ('touch @CANARY@/reduce',)
                @property
                def __class__(self): return int
                def __index__(self): raise SystemExit
                __str__ = __repr__ = __format__ = __float__ = __iter__ = __reduce__
            def run_experiment(system, tools):
                for call in (tools.echo, system.neuron):
                    try: call(Evil())
                    except Exception: pass
                return Evil()
        """,
        "an error without a text": """
            class Evil(Exception):
                def __str__(self): raise SystemExit
                __repr__ = __str__
            raise Evil from Evil()
        """,
        "an error with an evil class": """
            class Meta(type):
                def __getattribute__(cls, name): raise KeyboardInterrupt
            class Evil(BaseException, metaclass=Meta): pass
            raise Evil
        """,
        "subclasses of plain types": """
            class Text(str):
                def __str__(self): return self
                def encode(self, *a): return 5
                def isascii(self): return True
            class Number(int):
                def __int__(self): return 'x'
            def run_experiment(system, tools):
                for x in (Text('\\ud800'), Number(5), {Text('a'): Number(1)}):
                    try: print(tools.echo(x))
                    except Exception: pass
        """,
        "array subclass that lies": """
            import numpy as np
            class Lie(np.ndarray):
                @property
                def shape(self): return (10**6, 10**6, 3)
                def tobytes(self, *a): return b'x'
                def tolist(self): return [10**400] * 5
            def run_experiment(system, tools):
                a = np.zeros((4, 4, 3), np.uint8).view(Lie)
                try: return tools.echo(a)
                except Exception as e: return type(e).__name__
        """,
        "PIL subclass that lies": """
            from PIL import Image
            class Lie(Image.Image):
                size = (4096, 4096)
                mode = 'RGB'
                def tobytes(self, *a): return b'x' * 7
                def convert(self, *a): return self
            def run_experiment(system, tools):
                return tools.echo(Lie())
        """,
        "dict that changes while it is encoded": """
            class D(dict):
                def items(self):
                    n = 0
                    while True:
                        n += 1
                        yield str(n), n
            def run_experiment(system, tools): return tools.echo(D())
        """,
        "list without end": """
            class L(list):
                def __iter__(self):
                    while True: yield 1
            def run_experiment(system, tools): return tools.echo(L())
        """,
        "str subclass with evil encode": """
            class S(str):
                def encode(self, *a): return b'\\xff\\xfe'
                def isascii(self): return False
                def __len__(self): return 10**12
                def __getitem__(self, k): return self
            def run_experiment(system, tools):
                print(S('x'))
                return tools.echo(S('x')), S('y')
        """,
        "int subclass with evil compare": """
            class I(int):
                def __lt__(self, o): return True
                def __gt__(self, o): return False
            def run_experiment(system, tools): return tools.echo(I(10**400))
        """,
        "keyword names that clash": """
            def run_experiment(system, tools):
                for name in ('self', 'args', 'op', 'method', 'n', '__class__', 'context', ''):
                    try: print(tools.echo(**{name: 1}))
                    except Exception as e: print(type(e))
        """,
        "numpy record arrays as arguments": """
            import numpy as np
            def run_experiment(system, tools):
                for a in (np.zeros(3, 'O'), np.zeros(3, 'M8[s]'), np.zeros(3, [('a', 'i4')]), np.ma.array([1], mask=[1]), np.matrix([[1]]), np.zeros(3, 'V8'), np.array('x'), np.zeros((0, 5, 3), np.uint8)):
                    try: print(tools.echo(a))
                    except Exception as e: print(type(e))
        """,
    },
    "ends": {
        "sys.exit": "import sys\nsys.exit()",
        "os._exit": "import os\nos._exit(0)",
        "abort": "import os\nos.abort()",
        "KeyboardInterrupt": "raise KeyboardInterrupt",
        "GeneratorExit": "raise GeneratorExit",
        "close the channel": "import os\nos.closerange(0, 64)",
        "code object that jumps out": """
            import types
            def f(): return 1
            bad = f.__code__.replace(co_code=bytes([100, 200] * 50), co_consts=(), co_stacksize=1)
            f.__code__ = bad
            f()
        """,
    },
    "frames": {
        "a method that is not offered": FRAME
        + """
    for method in ('host.secret', 'system.__class__', '__init__', '', None, ['system.neuron'], 'x' * 10**6):
        send({'op': 'call', 'n': 1, 'method': method, 'args': [], 'kwargs': {}})
""",
        "forged handles": FRAME
        + """
    for handle in (1, 0, -1, 10**9, 'a', None, [1], 1.5, True):
        send({'op': 'pixels', 'n': 1, 'image': handle}); send({'op': 'clean', 'n': 1, 'image': handle})
        send({'op': 'call', 'n': 1, 'method': 'tools.echo', 'args': [{'i': handle}], 'kwargs': {}})
""",
        "oversize": FRAME + "    send(b'', lengths=(2**32 - 1, 2**32 - 1))\n",
        "large header": FRAME + "    send(b'', lengths=(15 << 20, 0))\n",
        "never ends": FRAME + "    send(b'{', lengths=(100, 0))\n    while True: pass\n",
        "garbage": FRAME + "    send(bytes(range(256)) * 10)\n",
        "not UTF-8": FRAME + "    send(b'\\xff\\xfe{}')\n",
        "deep JSON": FRAME + "    send(b'[' * 10**6)\n",
        "deep value": FRAME
        + """
    send(b'{"op":"call","n":1,"method":"tools.echo","kwargs":{},"args":' + b'[' * 900 + b']' * 900 + b'}')
""",
        "constants": FRAME
        + """
    for constant in (b'NaN', b'1e999', b'-Infinity', b'9' * 5000, b'"\\\\ud800"', b'{"t":1}', b'{"d":[]}', b'{"f":"x"}'):
        send(b'{"op":"call","n":1,"method":"tools.echo","kwargs":{},"args":[' + constant + b']}')
""",
        "wrong types": FRAME
        + """
    for header in ([], 1, None, {}, {'op': 1}, {'op': 'call'}, {'op': 'call', 'n': 'x'}, {'op': 'text', 'to': 5},
                   {'op': 'call', 'n': 1, 'method': 'tools.echo', 'args': {}, 'kwargs': []}, {'op': 'done', 'cut': 'x'},
                   {'op': 'call', 'n': 1, 'drop': {}, 'method': 'tools.echo', 'args': [], 'kwargs': {}}):
        send(header)
""",
        "wrong pixels": FRAME
        + """
    for size, blob in (([9, 9], b'x'), ([0, 5], b''), ([-1, -1], b'xxx'), ([10**9, 10**9], b''), ([1, 1], b'x' * 99), (7, b'')):
        send({'op': 'call', 'n': 1, 'method': 'tools.echo', 'args': [{'r': size}], 'kwargs': {}}, blob)
""",
        "drops of what it never had": FRAME
        + """
    send({'op': 'call', 'n': 1, 'method': 'tools.echo', 'args': [], 'kwargs': {}, 'drop': [1, 2, 3, 10**20, 'x']})
""",
        "says it is done and goes on": FRAME + "    send({'op': 'done', 'cut': 0})\n    while True: pass\n",
        "says it is done twice": FRAME + "    send({'op': 'done', 'cut': -5}); send({'op': 'done', 'cut': 0})\n",
        "text without end": FRAME + "    while True: send({'op': 'text', 'to': 'stdout'}, b'x' * 60000)\n",
        "text that is not UTF-8": FRAME + "    send({'op': 'text', 'to': 'value'}, b'\\xff')\n",
        "asks and does not read": FRAME
        + """
    def run_experiment(system, tools):
        image = tools.image(0)
        while True: send({'op': 'pixels', 'n': 1, 'image': image._handle})
""",
        "returned images that are none": FRAME
        + """
    for images in ([{'i': 99}], [{'r': [1, 1]}], ['x'], [[]], [{'s': None}], [{'i': 1}] * 100, 5, [None]):
        send({'op': 'show', 'images': images})
""",
        "many drops": FRAME
        + "    send({'op': 'call', 'method': 'tools.echo', 'args': [], 'kwargs': {}, 'drop': [1] * 10**6})\n",
        "an error without end": FRAME + "    while True: send({'op': 'text', 'to': 'error'}, b'x' * 60000)\n",
        "reads the channel": """
            import os
            for fd in range(3, 64):
                try: print(fd, os.read(fd, 100))
                except OSError: pass
        """,
        "drops a handle twice": FRAME
        + """
    def run_experiment(system, tools):
        i = tools.image(1)
        send({'op': 'call', 'method': 'tools.echo', 'args': [], 'kwargs': {}, 'drop': [i._handle, i._handle]})
""",
        "true and floats as handles": FRAME
        + """
    def run_experiment(system, tools):
        i = tools.image(1)
        for h in (True, 1.0, None, [1], {'i': 1}, '1'):
            send({'op': 'pixels', 'image': h})
""",
        "stops the writer of the host": FRAME
        + """
    def run_experiment(system, tools):
        i = [tools.image(n) for n in range(50)]
        for _ in range(180): send({'op': 'pixels', 'image': i[0]._handle})
        while True: pass
""",
    },
    "after the end": {
        "answers the next program": ALIVE + "    send({'op': 'done'})\n    answer_the_next()\n    while True: pass\n",
        "answers it from a function": ALIVE
        + """
    def run_experiment(system, tools):
        send({'op': 'done'})
        while True: answer_the_next()
""",
        "answers it from a destructor": ALIVE
        + """
    class Late:
        def __del__(self):
            send({'op': 'done'})
            answer_the_next()
            while True: pass
    def run_experiment(system, tools):
        late = Late(); late.me = late
""",
        "answers it from signal handlers": ALIVE
        + """
    import signal
    for number in range(1, 65):
        try: signal.signal(number, lambda *a: answer_the_next())
        except Exception: pass
""",
        "answers it from a C handler": ALIVE
        + """
    import ctypes
    kept = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: answer_the_next())
    for number in (10, 12, 14, 17, 18): ctypes.CDLL(None).signal(number, kept)
""",
        "answers it with blocked signals": ALIVE
        + """
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    send({'op': 'done'})
    while True: answer_the_next()
""",
        "writes the stack of a waiting worker": FORGER
        + """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    forge()
""",
        "writes it in place of the writer of stacks": FORGER
        + """
    import _imp, importlib.machinery
    _imp.create_builtin(importlib.machinery.ModuleSpec('faulthandler', None)).register(signal.SIGUSR2, file=0)
    forge()
""",
        "answers it from the collector": "import gc\ndef late(*a):\n    while True: pass\ngc.callbacks.append(late)",
        "waits for it in an audit hook": ALIVE
        + """
    import sys
    def hook(event, args):
        if event in ('compile', 'exec') and armed: answer_the_next()
    armed = False
    sys.addaudithook(hook)
    def run_experiment(system, tools):
        global armed
        armed = True
""",
        "patches the code of the worker": """
            import gc, sys
            def forged(self, program, file, start): return 'ESCAPED'
            for module in list(sys.modules.values()):
                for thing in list(vars(module).values()):
                    function = getattr(thing, '_execute', None)
                    if function is not None and getattr(module, '__name__', '').endswith('worker'): function.__code__ = forged.__code__
        """,
        "patches the worker's own functions": """
            import sys
            for module in list(sys.modules.values()):
                for thing in list(vars(module).values()):
                    if type(thing).__name__ == 'function' and str(thing.__module__).startswith('sandboxed'):
                        try: thing.__defaults__ = None; thing.__code__ = (lambda *a, **k: 'ESCAPED').__code__
                        except ValueError: pass
        """,
        "leaves frames in the channel": FRAME
        + "    send({'op': 'done'}); send({'op': 'text', 'to': 'value'}, b'ESCAPED')\n",
        "leaves half a frame": FRAME + "    send({'op': 'done'})\n    send(b'{', lengths=(1000, 0))\n",
        "leaves replies in the channel": FRAME
        + """
    call = {'op': 'call', 'method': 'tools.echo', 'args': ['ESCAPED'], 'kwargs': {}}
    def run_experiment(system, tools):
        for _ in range(3): send(call)
""",
    },
    "paths": {
        "of files in code": """
            import gc, types
            for thing in gc.get_objects() + [f for m in gc.get_objects() for f in gc.get_referents(m)]:
                if isinstance(thing, types.FunctionType) and '/' in thing.__code__.co_filename: print('ESCAPED', thing.__code__)
        """,
        "of frames": """
            import sys
            frame = sys._getframe()
            while frame:
                if '/' in frame.f_code.co_filename: print('ESCAPED', frame.f_code)
                frame = frame.f_back
        """,
        "of modules and loaders": """
            import sys
            for name, module in list(sys.modules.items()):
                loader, spec = getattr(module, '__loader__', None), getattr(module, '__spec__', None)
                found = [getattr(module, '__file__', ''), getattr(loader, 'path', ''), getattr(spec, 'origin', ''),
                         getattr(getattr(spec, 'loader', None), 'path', ''), *(getattr(module, '__path__', None) or [])]
                if any('/' in str(path) for path in found): print('ESCAPED', name, found)
        """,
        "in strings": """
            import gc, sys
            seen, waiting = set(), [vars(module) for module in sys.modules.values() if hasattr(module, '__dict__')]
            while waiting:
                thing = waiting.pop()
                if id(thing) in seen: continue
                seen.add(id(thing))
                if isinstance(thing, str):
                    if 'site-packages' in thing and 'openblas' not in thing and len(thing) < 500: print('ESCAPED', thing)
                elif len(seen) < 300000: waiting += gc.get_referents(thing)
        """,
    },
    "later programs": {
        "names of builtins": "len = str = repr = isinstance = list = dict = type = int = float = tuple = None\nprint = lambda *a: None\nValueError = NameError = TypeError = RuntimeError = AttributeError = 3",
        "names that all programs need": "len = print = None",
        "names that all programs need, from a function": "def run_experiment(system, tools):\n    global len, print\n    len = print = 5",
        "names by exec": "exec('le' + 'n = pri' + 'nt = None')",
        "makers of tools by exec": """
            exec('_ma' + 'ia_method = lambda token, name: lambda *a, **k: "ESCAPED"')
            exec('_ma' + 'ia_restored = lambda: (None,) * 72')
        """,
        "builtins of the module": "__builtins__ = {}\n__name__ = 5",
        "builtins through the module": "for name in list(__builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)):\n    if not name.startswith('__'): globals()[name] = 1",
        "all names of the module": "globals().clear()",
        "entries of its own": "execute_command = run_experiment = 5\ndef run_experiment(system, tools):\n    global run_experiment\n    run_experiment = lambda *a: 'ESCAPED'",
        "address space to the last byte": """
            kept, size = [], 1 << 28
            while size > 64:
                try: kept.append(bytearray(size))
                except MemoryError: size //= 2
        """,
        "mapped memory": RAW
        + """
    kept, size = [], 1 << 28
    libc.mmap.restype = ctypes.c_void_p
    while size >= 4096:
        if libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0)) in (None, 2**64 - 1): size //= 2
""",
        "codecs": "import codecs\ncodecs.register(lambda name: 1 / 0)\ncodecs.register_error('backslashreplace', lambda e: 1 / 0)",
        "caches": "import linecache, re\nlinecache.cache = linecache.getline = re._cache = None",
        "the default seed": "import random\nrandom.Random.seed = lambda *a, **k: None\nrandom.seed = None",
        "standard error": "import os\nos.close(2)",
        "descriptors": "import os\nfor fd in range(64):\n    try: os.close(fd)\n    except OSError: pass",
        "patched modules": """
            import builtins, json, os, sys, time, random, collections
            json.dumps = json.loads = builtins.len = builtins.isinstance = lambda *a, **k: 1
            os.write = os.readv = time.time = random.random = None
            builtins.print = builtins.str = builtins.all = None
            collections.OrderedDict = None
        """,
        "patched classes": """
            import json, io
            json.JSONEncoder.encode = lambda *a: 'x'
            json.JSONDecoder.decode = lambda *a: {}
        """,
        "removed modules": "import sys\nfor name in list(sys.modules): del sys.modules[name]",
        "trace functions": """
            import sys, gc
            def trace(*a): raise SystemExit
            gc.disable()
            sys.setprofile(lambda *a: None)
            sys.settrace(trace)
        """,
        "standard output": "import sys\nsys.stdout.close()\nsys.stdout = sys.stderr = sys.__stdout__ = None",
        "import hooks": "import sys, builtins\nsys.meta_path.clear()\nbuiltins.__import__ = None",
        "the worker's own objects": """
            import gc
            for thing in gc.get_objects():
                if type(thing).__name__ in ('Worker', 'Pipe', 'Snapshot', 'Clock'):
                    try: vars(thing).clear()
                    except Exception: pass
        """,
        "signal handlers": """
            import _imp, importlib.machinery, signal
            try: signal.signal(signal.SIGALRM, signal.SIG_IGN)
            except OSError: pass
            _imp.create_builtin(importlib.machinery.ModuleSpec('faulthandler', None)).disable()
        """,
        "the writer of stacks": """
            import _imp, importlib.machinery, signal
            writer = _imp.create_builtin(importlib.machinery.ModuleSpec('faulthandler', None))
            for attempt in (lambda: writer.unregister(signal.SIGUSR2), lambda: writer.register(signal.SIGUSR2, file=0)):
                try: attempt()
                except Exception: pass
        """,
    },
}


def programs() -> Iterator[Hostile]:
    """Yields every hostile program, with its indentation removed."""
    for group, named in _PROGRAMS.items():
        for name, program in named.items():
            yield Hostile(group, name, dedent(program).strip("\n") + "\n")
