"""Puts values into the DHT through a REST proxy: python posting.py PROXY < {"KEY": ["base64", …], …}."""

from __future__ import annotations

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit


def post(proxy: str, key: str, value: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(proxy).netloc, timeout=100)
    try:
        connection.request("POST", f"/key/{key}", json.dumps({"data": value}))
        return connection.getresponse().status
    finally:
        connection.close()


def main(proxy: str) -> None:
    values = [(key, value) for key, values in json.load(sys.stdin).items() for value in values]
    with ThreadPoolExecutor(40) as threads:
        statuses = list(threads.map(lambda value: post(proxy, *value), values))
    print(sum(status == 200 for status in statuses))


if __name__ == "__main__":
    main(sys.argv[1])
