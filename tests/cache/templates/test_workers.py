"""The processes that render: whatever a template does to its own, visitors of other pages do not notice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from hardline.cache.templates import workers
from hardline.cache.templates.workers import MAX_WAITING, MAX_WORKERS
from hardline.tasks import TaskSet
from tests.cache.pages_served import Asking, served, template
from tests.support import needs
from tests.support.waiting import wait_until

PID = "<% import os %>${os.getpid()}"


def is_there(pid: int) -> bool:
    """Whether a process is there and alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(100):
        while is_there(pid):
            await asyncio.sleep(0.02)


pytestmark = needs.linux()


# ── the life of a worker ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_worker_is_started_when_it_is_needed_and_used_again(tmp_path, run):
    template(tmp_path, "@mako", PID)

    async def story(asking: Asking) -> None:
        assert not asking.workers._free
        pids = {(await asking.ask("/")).text for _ in range(5)}
        assert len(pids) == 1
        assert pids != {str(os.getpid())}

    served(tmp_path, story, run=run)


def test_a_worker_that_is_idle_ends(tmp_path):
    template(tmp_path, "@mako", PID)

    async def story(asking: Asking) -> None:
        pid = int((await asking.ask("/")).text)
        await gone(pid)
        assert int((await asking.ask("/")).text) != pid

    served(tmp_path, story, idle=0.2)


def test_after_many_pages_a_fresh_worker_takes_over(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_PAGES_OF_WORKER", 3)
    template(tmp_path, "@mako", PID)

    async def story(asking: Asking) -> None:
        pids = [(await asking.ask("/")).text for _ in range(7)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]

    served(tmp_path, story)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_workers_end_when_the_pages_do_even_in_the_middle_of_one(tmp_path, run):
    file = tmp_path / "pid"
    template(tmp_path, "@mako", "<% import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60) %>")

    async def story(asking: Asking) -> None:
        await asking.connect("GET / HTTP/1.1\r\nHost: a")
        async with asyncio.timeout(100):
            while not (file.exists() and file.read_text()):
                await asyncio.sleep(0.02)

    served(tmp_path, story, run=run)
    assert not is_there(int(file.read_text()))


@pytest.mark.parametrize("doing", ["pass", "time.sleep(60)", "exec('while True: pass')"])
def test_workers_die_with_the_daemon(tmp_path, doing):
    template(tmp_path, "@mako", f"<% import os, time; open('pid', 'w').write(str(os.getpid())); {doing} %>")
    program = (
        "import asyncio, sys; from pathlib import Path; from hardline.cache.templates.dynamic import *\n"
        "async def main():\n"
        "    told = {'template': '/@mako', 'file': '', 'path': '/', 'method': 'GET', 'query': '', 'headers': []}\n"
        "    workers = Workers(program(Path(sys.argv[1]))); await workers.render(told, b''); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as daemon:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the template runs")
        pid = int((tmp_path / "pid").read_text())
        assert is_there(pid)
        daemon.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_there(pid), "the worker is gone")


def test_a_worker_has_nothing_of_the_daemons(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    template(tmp_path, "json.py", "raise SystemExit('the directory is no place for modules')")
    template(tmp_path, "mako/__init__.py", "raise SystemExit('the directory is no place for modules')")
    template(
        tmp_path,
        "@mako",
        "<% import os, sys; names = map('/proc/self/fd/{}'.format, range(100)) %>${sorted(os.environ)}\n"
        "${' '.join(map(os.readlink, filter(os.path.lexists, names)))}\n"
        "${os.getcwd()} ${sys.argv[1:]}",
    )
    descriptor = os.open(tmp_path / "@mako", os.O_RDONLY)
    os.set_inheritable(descriptor, True)

    async def story(asking: Asking) -> None:
        environment, links, here = (await asking.ask("/")).text.split("\n")
        assert "SECRET_TOKEN" not in environment
        assert links.split()[:3] == ["/dev/null"] * 3
        assert [link.partition(":")[0] in ("pipe", "socket") for link in links.split()[3:]] == [True, True]
        assert here == f"{tmp_path} []"

    try:
        served(tmp_path, story)
        served(tmp_path, story, run=uvloop.run)
    finally:
        os.close(descriptor)


# ── what templates do ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("import os; os._exit(0)", 500, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 500, ""),
        ("import os; os.closerange(0, 1000)", 500, ""),
        ("import os; os.close(3); os.close(4)", 500, ""),
        ("raise SystemExit", 500, ""),
        ("x = []\nwhile True: x.append(bytearray(10_000_000))", 500, ""),
        ("x = 'x' * (1 << 40)", 500, ""),
        ("f = lambda: f()\nf()", 500, ""),
        ("print('x' * 1_000_000)", 200, "after"),
        ("import os; os.write(1, bytes(100)); os.write(2, bytes(100))", 200, "after"),
        ("import os; os.system('echo hello; echo hello >&2; cat')", 200, "after"),
        ("import sys; sys.stdin.read()", 200, "after"),
        ("import os; os.fork()", 200, "after"),
        ("import os; os.fork(); os.fork()", 200, "after"),
        ("import os; os.chdir('/')", 200, "after"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", 200, "after"),
        ("import sys; sys.setrecursionlimit(50)", 200, "after"),
    ],
)
def test_whatever_a_template_does_the_next_page_is_fine(tmp_path, code, status, text):
    body = "".join(f"    {line}\n" for line in code.split("\n"))
    template(tmp_path, "bad@mako", f"<%\n{body}%>after")
    template(tmp_path, "good@mako", "good ${open('good@data').read()}")
    template(tmp_path, "good@data", "indeed")

    async def story(asking: Asking) -> None:
        for _ in range(2):
            async with asyncio.timeout(100):
                answer = await asking.ask("/bad")
            assert answer.status == status
            assert answer.text == text or status == 500
            assert (await asking.ask("/good")).text == "good indeed"

    served(tmp_path, story, memory=512)


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(60)",
        "import os, time; os.write(4, bytes(3)); time.sleep(60)",
    ],
)
def test_a_page_that_takes_too_long_is_given_up_and_its_process_killed(tmp_path, caplog, code):
    template(tmp_path, "slow@mako", f"<% import os; open('pid', 'w').write(str(os.getpid()))\n{code} %>")
    template(tmp_path, "good@mako", "good")

    async def story(asking: Asking) -> None:
        answer = await asking.ask("/slow")
        assert answer.status == 504
        assert not is_there(int((tmp_path / "pid").read_text()))
        assert (await asking.ask("/good")).text == "good"

    served(tmp_path, story, seconds=1)
    (told,) = (record.fields for record in caplog.records if record.getMessage() == "page.failed")
    assert "longer than 1 s" in told["reason"]


def test_what_a_template_has_started_is_killed_with_it(tmp_path):
    template(
        tmp_path,
        "slow@mako",
        "<% import subprocess, time\n"
        "open('pid', 'w').write(str(subprocess.Popen(['sleep', '60']).pid))\n"
        "time.sleep(60) %>",
    )

    async def story(asking: Asking) -> None:
        assert (await asking.ask("/slow")).status == 504
        await gone(int((tmp_path / "pid").read_text()))

    served(tmp_path, story, seconds=1)


@pytest.mark.parametrize(
    "answer",
    [
        "bytes([255] * 8)",
        "struct.pack('>II', 5, 5) + b'x' * 10",
        "struct.pack('>II', 2, 9) + b'[]'",
        "struct.pack('>II', 2, 0) + b'[]'",
        "struct.pack('>II', 2, 0) + b'{}'",
        "struct.pack('>II', 6, 0) + b'[[[[[['",
    ],
)
def test_a_process_that_is_out_of_order_is_believed_nothing(tmp_path, answer):
    template(tmp_path, "bad@mako", f"<% import os, struct; os.write(4, {answer}); os._exit(0) %>")
    template(tmp_path, "good@mako", "good")

    async def story(asking: Asking) -> None:
        assert (await asking.ask("/bad")).status == 500
        assert (await asking.ask("/good")).text == "good"

    served(tmp_path, story)


# ── many visitors ────────────────────────────────────────────────────────────────────────────────────────────


def test_many_visitors_share_a_few_workers(tmp_path):
    template(tmp_path, "@mako", f"{PID}<% import time; time.sleep(0.1) %>")

    async def story(asking: Asking) -> None:
        answers = await asyncio.gather(*(asking.ask("/") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == MAX_WORKERS

    served(tmp_path, story)


def test_whoever_comes_when_too_many_wait_is_told_so_at_once(tmp_path):
    template(
        tmp_path,
        "@mako",
        "<% import os, time\nwhile not os.path.exists('go'): time.sleep(0.05) %>here",
    )
    tasks = TaskSet("visitors")

    async def story(asking: Asking) -> None:
        waiting = [tasks.start(asking.ask("/"), f"{number}") for number in range(MAX_WORKERS + MAX_WAITING)]
        async with asyncio.timeout(100):
            while asking.workers._waiting < MAX_WAITING:
                await asyncio.sleep(0.02)
        refused = await asking.ask("/")
        assert (refused.status, refused["Retry-After"]) == (503, "5")
        (tmp_path / "go").touch()
        assert {(await one).status for one in waiting} == {200}
        assert (await asking.ask("/")).status == 200

    served(tmp_path, story)


def test_a_visitor_who_leaves_costs_no_process(tmp_path):
    template(
        tmp_path,
        "slow@mako",
        f"{PID}<% import time; open('began', 'a').write('x'); time.sleep(0.3) %>${{'x' * 500_000}}",
    )
    template(tmp_path, "@mako", PID)

    async def story(asking: Asking) -> None:
        before = (await asking.ask("/")).text
        _, writer = await asking.connect("GET /slow HTTP/1.1\r\nHost: a")
        async with asyncio.timeout(100):
            while not (tmp_path / "began").exists():
                await asyncio.sleep(0.02)
        writer.close()
        async with asyncio.timeout(100):
            while not asking.workers._free:
                await asyncio.sleep(0.02)
        assert (await asking.ask("/")).text == before

    served(tmp_path, story)


def test_a_directory_that_is_gone_is_a_failed_page(tmp_path):
    root = tmp_path / "root"
    file = template(root, "@mako", "here")

    async def story(asking: Asking) -> None:
        assert (await asking.ask("/")).status == 200
        file.unlink()
        root.rmdir()
        assert (await asking.ask("/")).status in (404, 500)

    served(root, story, idle=0)
