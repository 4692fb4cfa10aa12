"""What `hardline` shows of the daemon's answers (docs/STATUS.md), as lines for people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from hardline.cells import ago, how_link, kind_of, size, span, table, where
from hardline.showable import plain


def status_lines(status: dict[str, Any]) -> Iterator[str]:
    """`hardline status`."""
    node = status["node"]
    yield f"hardlined {status['version']}, pid {status['pid']}, engine {status['process']['engine']}"
    yield f"  node      {node['key_hash']}"
    yield f"  door      {', '.join(node['door']) or 'none'}"
    yield f"  p2p       {', '.join(node['p2p'])}"
    yield f"  services  {plain(node['servicedir'])}"
    yield f"  outside   {plain(status['outside']['sentence'])}"
    if status["outside"]["advice"]:
        yield f"  advice    {plain(status['outside']['advice'])}"
    yield f"  dht       {_dht(status['outside']['dht'])}"
    for relay in status["relays"]["used"]:
        yield f"  relay     {_relay_used(relay)}"
    if status["relays"].get("nat"):
        yield f"  router    {status['relays']['nat']}"
    if status["relays"]["served"]:
        yield f"  serves    {_relay_served(status['relays']['served'])}"
    for note in status["notes"]:
        yield f"  note      {plain(note)}"
    for service in status["services"]:
        yield from _service(service)
    if status.get("forwards"):
        yield "\nforwards"
    for forward in status.get("forwards", ()):
        name = plain(forward["name"]) or "hardline forward"
        yield f"  {name}  {forward['listen']} → {forward['label']}  {_open(forward)}"
    if socks := status.get("socks"):
        yield f"\nsocks  {socks['listen']}  {_open(socks)}"
    if status.get("gateway"):
        yield from _gateway(status["gateway"])
    if status.get("links"):
        yield "\nlinks"
    for link in status.get("links", ()):
        yield from _link(link, time.time())
    if status.get("phones"):
        yield "\nphones"
    for door in status.get("phones", ()):
        until = time.strftime("%H:%M", time.localtime(door["until"]))
        yield f"  {plain(door['title'])}  {' '.join(door['urls'])}  until {until}"
    if status["sessions"]:
        yield "\nsessions"
    for session in status["sessions"]:
        yield from _session(session)
    if status["unreached"]:
        yield "\nnot reached"
    for visit in status["unreached"]:
        yield f"  {visit['label']}"
        for attempt in visit["attempts"]:
            yield f"    {plain(attempt['endpoint'])}, by {plain(attempt['found_by'])}: {plain(attempt['failure'])}"
        for reason in visit["reasons"]:
            yield f"    {plain(reason)}"
    if status["peers"]:
        yield "\nremembered hosts"
    for peer in status["peers"]:
        seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(peer["last_seen"]))
        where = f"at {peer['endpoint']}, {peer['protocol']}" if peer["endpoint"] else "no address yet"
        yield f"  {plain(peer['title']) or peer['key_hash']}  {where}, last seen {seen}"


def _open(port: dict[str, Any]) -> str:
    return f"{port['open']} open  {plain(port['problem'] or '')}".rstrip()


def _gateway(gateway: dict[str, Any]) -> Iterator[str]:
    keys = f", {_counted(gateway['keys'], 'key')} for scrapers" if gateway["keys"] else ""
    yield f"\ngateway  {', '.join(gateway['listen'])}  {_counted(gateway['clients'], 'client')}{keys}"
    for one in gateway["services"]:
        seen = one["last_reached_s"]
        away = "never reached" if seen is None else f"offline, reached {seen:.0f} s ago"
        requests = ", ".join(f"{count} × {status}" for status, count in one["requests"].items()) or "no requests"
        yield f"  {one['name']} → {one['label']}  {'online' if one['online'] else away}  {requests}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def relay_lines(status: dict[str, Any]) -> Iterator[str]:
    """`hardline relay`."""
    relays, node = status["relays"], status["node"]
    if relays["served"]:
        told = [each["endpoint"] for each in status["outside"]["endpoints"]]
        port = node["p2p"][0].rpartition(":")[2] if node["p2p"] else "7008"
        where = told[0] if told else f"YOUR-PUBLIC-ADDRESS:{port}"
        yield f"this node is a relay: {_relay_served(relays['served'])}"
        for why, count in relays["served"]["refused"].items():
            yield f"  refused   {count} ({plain(why)})"
        yield "who wants to be reached by it writes into hardline.ini"
        yield "  [Relay]"
        yield f"  use = {where}#{node['key_hash']}"
        for also in sorted({at.rpartition(":")[2] for at in node["p2p"]} - {port}, key=lambda one: (len(one), one)):
            yield f"  use = {where.rpartition(':')[0]}:{also}#{node['key_hash']}"
    else:
        yield "this node is no relay ([Relay] enabled = yes makes it one)"
    for note in status["notes"]:
        if note.startswith("[Relay]"):
            yield f"note: {plain(note)}"
    yield "relays of this host" if relays["used"] else "this host uses no relay (hardline relay --use LINE does)"
    for relay in relays["used"]:
        yield f"  {_relay_used(relay)}"
        if relay["state"] == "refused" and "does not serve" in str(relay["problem"]):
            yield f"    its owner has to write  allow = {node['key_hash']}"
        if relay["contact"]:
            yield f"    its owner: {plain(relay['contact'])}"
    if relays.get("nat"):
        yield f"the router before this computer: {relays['nat']}"


def offer_lines(offers: list[dict[str, Any]]) -> Iterator[str]:
    """`hardline lan`."""
    if not offers:
        yield "nothing is offered on this network (services with listed = no do not show)"
    for offer in offers:
        yield f"{plain(offer['title']) or '(untitled)'}  {where(offer)}\n  {offer['url']}"


def ls_blocks(status: dict[str, Any], offers: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """`hardline ls --json`: what is ours, what the network offers, who else is known, which links are kept warm."""
    ours = {_key_hash(service) for service in status["services"]}
    known = [peer for peer in status["peers"] if peer["key_hash"] not in ours]
    seen = {peer["key_hash"]: peer for peer in known}
    names = {one["key_hash"]: one["name"] for one in status.get("names", ())}
    computers = {_key_hash(offer): offer.get("host") or None for offer in offers}
    known = [{**peer, "name": names.get(peer["key_hash"])} for peer in known]
    known += [_never_seen(one) for one in status.get("names", ()) if one["key_hash"] not in ours | seen.keys()]
    known = [{**peer, "host": computers.get(peer["key_hash"])} for peer in known]
    known.sort(key=lambda peer: (peer["name"] is None, peer["name"] or ""))
    offers = [_beside_known(offer, seen, names) for offer in offers]
    return {"mine": status["services"], "network": offers, "known": known, "links": status.get("links", [])}


def _never_seen(named: dict[str, Any]) -> dict[str, Any]:
    """A row of `known` for what the user has named and nobody has visited."""
    nothing: dict[str, Any] = {
        "title": "",
        "protocol": None,
        "endpoint": None,
        "via": None,
        "kind": None,
        "wan_hosts": [],
    }
    return {**nothing, **{key: named[key] for key in ("key_hash", "name")}, "first_seen": 0, "last_seen": 0}


def _beside_known(offer: dict[str, Any], seen: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """An offer, with the user's `name` for it, and whose title or name it has without being that one (`unlike`).

    Anybody on the network can list any title.
    """
    key_hash = _key_hash(offer)
    called = offer["title"].casefold()
    titles = [(other, str(peer["title"])) for other, peer in seen.items()]
    like = [
        names.get(other) or title
        for other, title in (*titles, *names.items())
        if called and title.casefold() == called and other != key_hash
    ]
    known = key_hash in seen or key_hash in names
    return {**offer, "name": names.get(key_hash), "unlike": like[0] if like and not known else None}


def _key_hash(service: dict[str, Any]) -> str:
    return str(service.get("label", "")).rpartition("-")[2]


def share_lines(shared: dict[str, Any], status: dict[str, Any], how: str) -> Iterator[str]:
    """What `hardline share` tells beside the URL: what it leads to, and who finds it and may visit."""
    name, computer = plain(shared["name"]), status["node"].get("computer", "")
    where = f" on {plain(computer)}" if computer else ""
    yield f"{how} as {name}: {plain(shared['title'])}{where} → {plain(shared['target'])}{_probed(shared.get('probed'))}"
    if "listed" not in shared:
        return
    outside = status["outside"]
    if not shared["listed"]:
        lan = "not listed: who has its address finds it"
    elif outside["only_here"]:
        lan = "listed on this computer only ([Node] bind)"
    else:
        lan = "listed: open http://localhost:7009/ on another computer with hardline and click it"
    yield f"  this network  {lan}"
    yield f"  elsewhere     {plain(outside['sentence'])}" + (
        f"; {plain(outside['advice'])}" if outside["advice"] else ""
    )
    yield from _until_and_who(shared)


def change_lines(changed: dict[str, Any]) -> Iterator[str]:
    """What `hardline change` tells beside the URL: what it is now."""
    target = f"{plain(changed['target'])}{_probed(changed.get('probed'))}"
    yield f"{plain(changed['name'])}: {plain(changed['title'])} → {target}"
    if "listed" not in changed:
        return
    yield f"  this network  {'listed' if changed['listed'] else 'not listed'}"
    yield from _until_and_who(changed)


def _until_and_who(shared: dict[str, Any]) -> Iterator[str]:
    name = plain(shared["name"])
    if shared["until"] is not None:
        yield f"  until         {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(shared['until']))}"
    if shared["for_invited"]:
        yield f"  who           those who are invited: hardline invite {name} --to NAME"
    else:
        yield f"  who           everybody who has the address; to choose people: hardline change {name} --invited"


def _probed(probed: dict[str, Any] | None) -> str:
    if probed is None:
        return ""
    if not probed["answers"]:
        return ' (nothing answers there now: visitors read "not running" until it does)'
    return f" (answers, {probed['said']})" if probed["said"] else " (answers)"


def ping_lines(what: str, answer: dict[str, Any]) -> Iterator[str]:
    """`hardline ping`, for one answer or none."""
    if "failure" in answer:
        yield f"{plain(what)}: not reachable: {plain(answer['failure'])}"
        for line in answer["tried"]:
            yield f"  {plain(line)}"
        return
    called = answer["name"] or plain(answer["title"]) or answer["label"][-40:][:8]
    trip = answer["round_trip_s"]
    took = "it answers" if trip is None else f"{1000 * trip:.1f} ms"
    yield f"{called}: {took} by {kind_of(answer)} {plain(answer['endpoint'])}"


def who_lines(told: dict[str, Any], sessions: list[dict[str, Any]], now: float) -> Iterator[str]:
    """`hardline who`; `now` is seconds since 1970."""
    if not told["for_invited"]:
        yield f"everybody who has the address of {plain(told['name'])} may visit it"
    here = {session.get("client"): session for session in sessions if session["role"] == "hosting"}
    rows = []
    for row in told["let_in"]:
        session = here.get(row["key_hash"])
        how = f"here, {kind_of(session)}, {size(session['sent'] or 0)} read" if session is not None else _last(row, now)
        key = f"{row['key_hash'][:4]}…{row['key_hash'][-4:]}"
        rows.append((plain(row["who"]) or "(nobody's name)", f"since {row['since']}" if row["since"] else "", key, how))
    for row in told["invited"]:
        left = f"for {span(row['until'] - now)} more" if row["state"] == "open" else "expired"
        rows.append((plain(row["who"]), "invited", left, row["number"]))
    yield from table(rows)


def _last(row: dict[str, Any], now: float) -> str:
    """What is remembered of somebody's visits."""
    if not row.get("last_visit"):
        return "never here" if "last_visit" in row else ""
    kind = "LAN" if row["kind"] == "LAN" else str(row["kind"]).lower()
    return f"{ago(now - row['last_visit'])}, {kind}, {size(row['read'] or 0)} read"


def _https(named: dict[str, Any] | None) -> Iterator[str]:
    if not named:
        return
    until = time.strftime("%Y-%m-%d", time.localtime(named["until"]))
    said = f"certificate until {until}" if named["state"] == "serving" else named["state"]
    yield f"  https://{named['name']}  {said}" + (f": {plain(named['problem'])}" if named["problem"] else "")
    if named["again"]:
        yield f"    again at {time.strftime('%Y-%m-%d %H:%M', time.localtime(named['again']))}"


def _service(service: dict[str, Any]) -> Iterator[str]:
    yield f"\n{plain(service.get('title') or service['name'])}  [{plain(service['name'])}: {service['state']}]"
    if "url" in service:
        yield f"  {service['url']}  →  {plain(service['target'])}"
        for at in service.get("public", ()):
            yield f"  public at {plain(at)}"
        for why in service.get("not_public", ()):
            yield f"  no public port at {plain(why)}"
        yield from _https(service.get("https"))
        yield f"  {plain(service['announced'])}"
    if service["problem"]:
        yield f"  problem: {plain(service['problem'])}"
    if service["hint"]:
        yield f"  hint: {plain(service['hint'])}"
    for note in service.get("notes", ()):
        yield f"  note: {plain(note)}"


def _session(session: dict[str, Any]) -> Iterator[str]:
    way = f"to {session['endpoint']}" if session["role"] == "visiting" else f"from {session['endpoint']}"
    via = f"{kind_of(session)}, found by {session['found_by']}" if session["found_by"] else _incoming(session)
    how = f"{session['protocol']}, {via}{', takes no new streams' if session.get('draining') else ''}"
    how += ", one more connection to the same host" if session.get("spare") else ""
    yield f"  {session['role']} {plain(session['title']) or session['label']} {way} ({how})"
    for why in session.get("passed_over") or ():
        yield f"    no better path: {plain(why)}"
    if (look := session.get("next_look_s")) is not None:
        yield f"    looks for a better one {f'in {look:.0f} s' if look else 'now'}"
    if session["sent"] is not None:
        moved = f"{size(session['sent'])} sent, {size(session['received'] or 0)} received"
        trip = f", round trip {1000 * session['round_trip_s']:.0f} ms" if session.get("round_trip_s") else ""
        yield f"    {session['streams']} streams, {moved}, for {session['since_s']:.0f} s{trip}"


def _link(link: dict[str, Any], now: float) -> Iterator[str]:
    at = f"  {link['listen']}" if link["listen"] else ""
    yield f"  {plain(link['name'])}{at} → {link['label']}  {how_link(link, now)}"
    if link["endpoint"]:
        buffers = (("send", link["send_buffer"]), ("receive", link["receive_buffer"]))
        sizes = "".join(f", {name} {size(count)}" for name, count in buffers if count is not None)
        by = f", {link['congestion']}" if link["congestion"] else ""
        yield f"    by {str(link['kind']).lower()} {link['endpoint']}, {link['streams']} streams{sizes}{by}"


def _incoming(session: dict[str, Any]) -> str:
    by = {"RELAYED": " by a relay", "PUNCHED": " through the routers"}
    return f"incoming{by.get(session.get('kind') or '', '')}"


def _dht(dht: dict[str, Any] | None) -> str:
    if dht is None:
        return "not used ([DHT] enabled = no)"
    node = dht["node"] or {"phase": "missing", "good": 0, "reason": None}
    if dht["used"] == "node":
        return f"connected, {node['good']} good nodes"
    proxies = [proxy["url"] for proxy in dht["proxies"] if proxy["state"] == "connected"]
    if proxies:
        return f"by the proxy {plain(proxies[0])}"
    if node["phase"] == "idle":
        return "asleep: nobody has asked it yet"
    return f"not connected{': ' + plain(node['reason']) if node['reason'] else ''}"


def _relay_used(relay: dict[str, Any]) -> str:
    state = relay["state"]
    if state == "registered":
        state = f"{relay['tested']} of {relay['names']} names reached through it"
    elif state == "idle":
        state = "not used: nothing is shared"
    elif state == "not needed":
        state = "not needed: it has reached this computer directly"
    problem = f": {plain(relay['problem'])}" if relay["problem"] else ""
    return f"{plain(relay['endpoint'])}, {state}{problem}"


def _relay_served(served: dict[str, Any]) -> str:
    what = (
        f"{served['nodes']} nodes, {served['names']} names, {served['pairs']} visits, {size(served['passed'])} passed"
    )
    if served.get("public_ports"):
        what += f", {served['public_ports']} public port{'' if served['public_ports'] == 1 else 's'}"
    if served.get("tlsrelay"):
        what += f", {served['tlsrelay']} by tx_tlsrelay"
    what += f", {size(served['this_month'])} this month"
    if served["used_up"]:
        return f"{what}, which is all that [Relay] monthly allows: it serves nobody until the next one"
    return f"{what}, takes nobody new" if served["draining"] else what
