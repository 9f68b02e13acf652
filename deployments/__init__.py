"""Every way to serve one of the two applications over HTTPS: what it can do, its files, its command.

A deployment is a choice that somebody could make, and its name says it: APP-SERVER[-VARIANT][@PROXY].
`servers` holds one module for each server; a proxy in front will have a module of its own beside them. What
such a module knows is data: the templates that it renders, its command, its abilities. Rendering is pure; one
launcher starts, watches and ends all of them alike. `exporting`, a door of its own, makes of one what a system runs.

Applications run in processes of their own and are never imported here: the launcher's Python must weigh
nothing on what is measured. The files that are started are whole and readable: a reader can take them home.
Imported by harness; imports certs and device_api's settings, state and ready file. Importing starts nothing.
"""

from deployments._errors import DeploymentError
from deployments._groups import GROUPS, USUAL_GROUP, group_of
from deployments._name import DeploymentName
from deployments._options import AUTH_CHOICES, CLIENT_CERTIFICATE_CHOICES, TLS_CHOICES, ServeOptions
from deployments._registry import Described, describe, find, names
from deployments._running import RunningServer
from deployments._stacks import KeyExchange, TlsStack
from deployments._start import check, render, start
from deployments._types import (
    Abilities,
    AskedOfClients,
    Deployment,
    KilledWorker,
    Reload,
    Rendered,
    Resumption,
    SeveralWorkers,
    Site,
    Workers,
)

__all__ = [
    "AUTH_CHOICES",
    "CLIENT_CERTIFICATE_CHOICES",
    "GROUPS",
    "TLS_CHOICES",
    "USUAL_GROUP",
    "Abilities",
    "AskedOfClients",
    "Deployment",
    "DeploymentError",
    "DeploymentName",
    "Described",
    "KeyExchange",
    "KilledWorker",
    "Reload",
    "Rendered",
    "Resumption",
    "RunningServer",
    "ServeOptions",
    "SeveralWorkers",
    "Site",
    "TlsStack",
    "Workers",
    "check",
    "describe",
    "find",
    "group_of",
    "names",
    "render",
    "start",
]
