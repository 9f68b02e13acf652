"""Every route, in plain Quart. The table in device_api.routes has the same ones; a test compares them."""

import asyncio
import time

from quart import Quart, Response

from device_api.bodies import require_json
from device_api.datastore import read_interface, read_interfaces
from device_api.device import LazyDevice
from device_api.discovery import HOST_META
from device_api.media import JSON, XRD, encode
from device_api.openapi import document_json
from device_api.ping import ping_output, read_ping
from quart_impl._answers import answer
from quart_impl._request import request


def add_routes(app: Quart, lazy: LazyDevice) -> None:
    """Add them to an application."""

    @app.get("/health")
    async def health() -> Response:
        health = await asyncio.to_thread(lazy.health)
        return answer(encode(health.document), health.status, media_type=JSON)

    @app.get("/.well-known/host-meta")
    async def host_meta() -> Response:
        return answer(HOST_META, media_type=XRD)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return answer(document_json(), media_type=JSON)

    @app.get("/restconf/data/ietf-system:system-state")
    async def system_state() -> Response:
        return answer(encode(lazy.get().system_state()))

    @app.get("/restconf/data/ietf-interfaces:interfaces")
    async def interfaces() -> Response:
        return answer(encode(await asyncio.to_thread(lazy.get().datastore.run, read_interfaces)))

    @app.get("/restconf/data/ietf-interfaces:interfaces/interface=<key:name>")
    async def interface(name: str) -> Response:
        return answer(encode(await asyncio.to_thread(lazy.get().datastore.run, read_interface, name)))

    @app.post("/restconf/operations/network-device:ping")
    async def ping() -> Response:
        require_json(request.mimetype)
        ping = read_ping(await request.read_body())
        round_trips_ns = []
        for _ in range(ping.count):
            sent_ns = time.monotonic_ns()
            await asyncio.sleep(ping.interval_s)
            round_trips_ns.append(time.monotonic_ns() - sent_ns)
        return answer(encode(ping_output(ping, round_trips_ns)))
