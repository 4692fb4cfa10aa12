"""Everything that reads hostile bytes: a name, and a function of any bytes that asserts what must hold of them.

A target never raises but when something is wrong: the errors that are documented are part of what it expects.
`make fuzz TARGET=name` looks for such bytes; what was found is kept in corpus/NAME/ and replayed by test_corpus.py.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import asked, cached, door, far, gateway, lan, local, named, relayed, served, sessions, socks, words

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    "label": words.label,
    "endpoint": words.endpoint,
    "wan_hosts": words.wan_hosts,
    "amount": words.amount,
    "ini": words.ini,
    "service_file": words.service_file,
    "node_file": words.node_file,
    "lpd": lan.packet,
    "dnssd_packet": lan.dnssd_packet,
    "dnssd_text": lan.dnssd_text,
    "dnssd_titles": lan.dnssd_titles,
    "dnssd_records": lan.dnssd_records,
    "hello": sessions.hello_line,
    "status": sessions.status_line,
    "yamux_wire": sessions.yamux_wire,
    "yamux_frames": sessions.yamux_frames,
    "yamux_talk": sessions.yamux_talk,
    "yamux_carried": sessions.yamux_carried,
    "head": door.head,
    "proxy_request": door.proxy_request,
    "proxy_answer": door.proxy_answer,
    "conversation": door.conversation,
    "host": door.host,
    "gateway_request": gateway.request,
    "gateway_answer": gateway.answer,
    "gateway_place": gateway.place,
    "gateway_client": gateway.client,
    "gateway_basic": gateway.basic,
    "gateway_keys": gateway.keys,
    "server_name": door.server_name,
    "control": local.control_request,
    "certificate": local.certificate_files,
    "remembered": local.remembered_row,
    "ranges": served.parts,
    "conditions": served.conditions,
    "dates": served.date,
    "accept": served.accepted,
    "target": served.target,
    "kept_name": served.kept_name,
    "file_requests": asked.connection,
    "cache_control": cached.cache_control,
    "fields": cached.field_lists,
    "freshness": cached.freshness_of,
    "variants": cached.variant,
    "visit": cached.request_head,
    "kept_head": cached.kept_head,
    "dht_value": far.dht_value,
    "dht_record": far.dht_record,
    "dht_plain": far.dht_plain,
    "dht_line": far.dht_line,
    "reached": far.reached,
    "pcp": far.pcp_answer,
    "natpmp": far.natpmp_answer,
    "ssdp": far.ssdp_answer,
    "upnp_xml": far.upnp_xml,
    "client_hello": relayed.client_hello,
    "relay_line": relayed.relay_line,
    "control_line": relayed.control_line,
    "relay_opening": relayed.opening,
    "relay_ports": relayed.ports,
    "tlsrelay_said": relayed.silence,
    "tlsrelay_pairs": relayed.pairs,
    "named_requests": named.guarded,
    "socks": socks.socks,
}
