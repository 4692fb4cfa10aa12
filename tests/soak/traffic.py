"""The people of one machine: workers that run one errand after another, each with random numbers of its own.

    stdin   pause | go | end                                stdout  {"kind": …, "outcome": "ok", …}   per errand
                                                                    {"paused": true}                 when all have ended

It knows nothing of faults: whether something may have failed at that moment is the ledger's to judge.
Run as `python -m tests.soak.traffic PLAN`, the plan as JSON, in the machine's namespace.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import traceback

from tests.soak.kinds import KINDS, Errand, Kind
from tests.soak.plan import Plan, Shared, file_of
from tests.soak.web import Failed, Hung, Life, Short, Wrong

LONGEST = 150.0  # seconds that any errand may take, however well it goes on
THINKING = (0.05, 1.0)  # seconds between two errands of a worker

_OUTCOMES = {Failed: "failed", Short: "short", Wrong: "wrong", Hung: "hung"}


class Traffic:
    """All workers of a machine."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._files = {service.name: file_of(service.name) for service in plan.services if service.backend == "nginx"}
        self._pausing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._going = asyncio.Event()
        self._busy = 0

    async def work(self, number: int) -> None:
        """Errand after errand, for ever."""
        numbers = random.Random(f"{self._plan.seed} {self._plan.visitor} {number}")
        while True:
            await self._going.wait()
            kind = numbers.choices(KINDS, [kind.weight for kind in KINDS])[0]
            self._busy += 1
            try:
                await self._run(kind, self._service(kind, numbers), numbers)
            finally:
                self._busy -= 1
                self._tell_pause()
            await asyncio.sleep(numbers.uniform(*THINKING))

    async def obey(self) -> None:
        """Read orders until the last one."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            match line.strip():
                case b"pause":
                    self._going.clear()
                    self._pausing.set_result(None)
                    self._tell_pause()
                case b"go":
                    if self._pausing.done():
                        self._pausing = asyncio.get_running_loop().create_future()
                    self._going.set()
                case b"end":
                    return

    def _service(self, kind: Kind, numbers: random.Random) -> Shared | None:
        if not kind.backends:
            return None
        return numbers.choice(
            [
                service
                for service in self._plan.services
                if service.backend in kind.backends or ("password" in kind.backends and "-" in service.label)
            ]
        )

    async def _run(self, kind: Kind, service: Shared | None, numbers: random.Random) -> None:
        life, outcome, what = Life.begin(), "ok", ""
        file = self._files.get(service.name, b"") if service else b""
        errand = Errand(self._plan, service, file, numbers, life, self._pausing)
        try:
            async with asyncio.timeout(LONGEST):
                await kind.run(errand)
        except (Failed, Short, Wrong, Hung) as failure:
            outcome, what = _OUTCOMES[type(failure)], str(failure)
        except TimeoutError:
            outcome, what = "hung", f"not done after {LONGEST:g} s"
        except Exception:
            outcome, what = "wrong", f"the check itself failed: {traceback.format_exc()}"
        finally:
            for wire in errand.wires:
                wire.drop()
        tell(
            kind=kind.name,
            service=service.name if service else "",
            began=life.began,
            alive=life.alive,
            ended=time.monotonic(),
            outcome=outcome,
            what=what,
            sent=life.sent,
            received=life.received,
        )

    def _tell_pause(self) -> None:
        if self._pausing.done() and not self._busy:
            tell(paused=True)


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    plan = Plan.from_json(sys.argv[1])
    traffic = Traffic(plan)
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(traffic.work(number)) for number in range(plan.workers)]
        await traffic.obey()
        for worker in workers:
            worker.cancel()


if __name__ == "__main__":
    asyncio.run(main())
