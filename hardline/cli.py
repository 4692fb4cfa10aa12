"""`hardline`: ask and tell the daemon that runs on a data directory.

Results go to stdout; what went wrong goes to stderr with a hint, and the exit code is 1 (2 for wrong arguments).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardline import __version__, control
from hardline.cache.own import OwnFiles
from hardline.errors import HardlineError
from hardline.places import default_places
from hardline.showable import plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    datadir: Path = options.datadir or default_places().datadir
    try:
        match options.command:
            case "status":
                _show_status(control.ask(datadir, "status"), as_json=options.json)
            case "share":
                target = _target(options.target)
                shared = control.ask(datadir, "share", target=target, name=options.name, title=options.title)
                print(shared["url"])
            case "fileserver":
                _serve_directory(options, datadir)
            case "remove":
                removed = control.ask(datadir, "remove", name=options.name)
                print(f"removed {removed['name']}; its certificate stays, so that its URL can come back")
            case "lan":
                _show_offers(control.ask(datadir, "lan"), as_json=options.json)
            case "version":
                print(f"hardline {__version__}")
    except HardlineError as failure:
        print(f"hardline: error: {failure.message}", file=sys.stderr)
        if failure.hint:
            print(f"hardline: hint: {failure.hint}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hardline", description="Share services and see what a node does.")
    parser.add_argument("--datadir", type=Path, metavar="DIR", help="data directory of the daemon to talk to")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="services, sessions and the paths they use")
    status.add_argument("--json", action="store_true", help="for programs")
    share = commands.add_parser("share", help="share a service, and print its URL")
    share.add_argument(
        "target", metavar="PORT|HOST:PORT|URL|DIR", help="8000, nas:8080, https://192.168.1.5, unix:/run/app, ~/photos"
    )
    share.add_argument("--name", help="name of its file in the service directory")
    share.add_argument("--title", help="what people read")
    remove = commands.add_parser("remove", help="stop sharing a service; its certificate stays")
    remove.add_argument("name", help="as `hardline status` shows it")
    lan = commands.add_parser("lan", help="what the local network offers")
    lan.add_argument("--json", action="store_true", help="for programs")
    fileserver = commands.add_parser("fileserver", help="serve a directory on this machine, without any tunnel")
    fileserver.add_argument("directory", type=Path, metavar="DIR")
    fileserver.add_argument(
        "--port", type=int, default=8000, metavar="N", help="where to listen (8000); 0: any free port"
    )
    fileserver.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="for whom: this machine only (127.0.0.1)"
    )
    fileserver.add_argument("--no-listing", action="store_true", help="only who knows a file's name finds it")
    commands.add_parser("version", help="print the version")
    return parser


def _target(text: str) -> str:
    """A directory is meant from here, and the daemon runs elsewhere."""
    return str(Path(text).resolve()) if "/" in text and Path(text).is_dir() else text


def _serve_directory(options: argparse.Namespace, datadir: Path) -> None:
    from hardline.cache.fileserver import serve_directory  # only here: it takes a while to load

    own = OwnFiles(default_places().servicedir, datadir)
    asyncio.run(
        serve_directory(
            options.directory.absolute(),
            options.bind,
            options.port,
            own,
            allow_listing=not options.no_listing,
            ready=lambda url: print(f"serving {options.directory} at {url}", flush=True),
        )
    )


def _show_status(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(status, indent=2))
        return
    node = status["node"]
    print(f"hardlined {status['version']}, pid {status['pid']}")
    print(f"  node      {node['key_hash']}")
    print(f"  door      {', '.join(node['door']) or 'none'}")
    print(f"  p2p       {', '.join(node['p2p'])}")
    print(f"  services  {node['servicedir']}")
    print(f"  outside   {_plain(status['outside']['sentence'])}")
    if status["outside"]["advice"]:
        print(f"  advice    {_plain(status['outside']['advice'])}")
    print(f"  dht       {_dht(status['outside']['dht'])}")
    for note in status["notes"]:
        print(f"  note      {_plain(note)}")
    for service in status["services"]:
        print(f"\n{_plain(service.get('title') or service['name'])}  [{service['name']}: {service['state']}]")
        if "url" in service:
            print(f"  {service['url']}  →  {_plain(service['target'])}")
            print(f"  {_plain(service['announced'])}")
        if service["problem"]:
            print(f"  problem: {_plain(service['problem'])}")
        if service["hint"]:
            print(f"  hint: {_plain(service['hint'])}")
        for note in service.get("notes", ()):
            print(f"  note: {_plain(note)}")
    if status["sessions"]:
        print("\nsessions")
    for session in status["sessions"]:
        way = f"to {session['endpoint']}" if session["role"] == "visiting" else f"from {session['endpoint']}"
        via = f"via {session['via']}, found by {session['found_by']}" if session["found_by"] else "incoming"
        print(
            f"  {session['role']} {_plain(session['title']) or session['label']} {way} ({session['protocol']}, {via})"
        )
        for why in session.get("passed_over", ()):
            print(f"    no better path: {_plain(why)}")
        if session["sent"] is not None:
            moved = f"{_size(session['sent'])} sent, {_size(session['received'])} received"
            print(f"    {session['streams']} streams, {moved}, for {session['since_s']:.0f} s")
    if status["peers"]:
        print("\nremembered hosts")
    for peer in status["peers"]:
        seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(peer["last_seen"]))
        where = f"at {peer['endpoint']}, {peer['protocol']}" if peer["endpoint"] else "no address yet"
        print(f"  {_plain(peer['title']) or peer['key_hash']}  {where}, last seen {seen}")


def _dht(dht: dict[str, Any] | None) -> str:
    if dht is None:
        return "not used ([DHT] enabled = no)"
    node = dht["node"] or {"phase": "missing", "good": 0, "reason": None}
    if dht["used"] == "node":
        return f"connected, {node['good']} good nodes"
    proxies = [proxy["url"] for proxy in dht["proxies"] if proxy["state"] == "connected"]
    if proxies:
        return f"by the proxy {_plain(proxies[0])}"
    if node["phase"] == "idle":
        return "asleep: nobody has asked it yet"
    return f"not connected{': ' + _plain(node['reason']) if node['reason'] else ''}"


def _show_offers(offers: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(offers, indent=2))
        return
    if not offers:
        print("nothing is offered on this network (services with listed = no do not show)")
    for offer in offers:
        print(f"{_plain(offer['title']) or '(untitled)'}  at {offer['source']}\n  {offer['url']}")


def _plain(text: str) -> str:
    """Titles are others' words: nothing in them may steer the terminal."""
    return plain(text)


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


if __name__ == "__main__":
    sys.exit(main())
