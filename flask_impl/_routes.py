"""Every route, in plain Flask. The table in device_api.routes has the same ones; a test compares them."""

import time

from flask import Flask, Response

from device_api.bodies import require_json
from device_api.datastore import read_interface, read_interfaces
from device_api.device import LazyDevice
from device_api.discovery import HOST_META
from device_api.media import JSON, XRD, encode
from device_api.openapi import document_json
from device_api.ping import ping_output, read_ping
from flask_impl._answers import answer
from flask_impl._request import request


def add_routes(app: Flask, lazy: LazyDevice) -> None:
    """Add them to an application."""

    @app.get("/health")
    def health() -> Response:
        health = lazy.health()
        return answer(encode(health.document), health.status, media_type=JSON)

    @app.get("/.well-known/host-meta")
    def host_meta() -> Response:
        return answer(HOST_META, media_type=XRD)

    @app.get("/openapi.json")
    def openapi() -> Response:
        return answer(document_json(), media_type=JSON)

    @app.get("/restconf/data/ietf-system:system-state")
    def system_state() -> Response:
        return answer(encode(lazy.get().system_state()))

    @app.get("/restconf/data/ietf-interfaces:interfaces")
    def interfaces() -> Response:
        with lazy.get().datastore.begin() as session:
            document = read_interfaces(session)
        return answer(encode(document))

    @app.get("/restconf/data/ietf-interfaces:interfaces/interface=<key:name>")
    def interface(name: str) -> Response:
        with lazy.get().datastore.begin() as session:
            document = read_interface(session, name)
        return answer(encode(document))

    @app.post("/restconf/operations/network-device:ping")
    def ping() -> Response:
        require_json(request.mimetype)
        ping = read_ping(request.read_body())
        round_trips_ns = []
        for _ in range(ping.count):
            sent_ns = time.monotonic_ns()
            time.sleep(ping.interval_s)
            round_trips_ns.append(time.monotonic_ns() - sent_ns)
        return answer(encode(ping_output(ping, round_trips_ns)))
