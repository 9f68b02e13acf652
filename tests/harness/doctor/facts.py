"""Facts of a machine that is as it should be; tests change one at a time."""

from __future__ import annotations

from harness.doctor.examination import Examination
from harness.doctor.installed import Installed, PlanNeeds, Tls
from harness.doctor.machine import Machine
from harness.doctor.watching import Pace, Watched, WatchedProcessor

MACHINE = Machine(
    processor="Synthetic Processor 3000",
    virtual=False,
    kernel="Linux 6.1.0",
    allowed=(0, 1, 2, 3),
    server=(2,),
    generator=(3,),
    pinning_note=None,
    cores=(),
    cpu_quota=None,
    governors=("performance",),
    pinning_refusal=None,
    clocks_refusal=None,
    open_files_soft=1024,
    open_files_hard=20_000,
    clocksource="tsc",
    clocksources=("tsc", "hpet", "acpi_pm"),
    clock_read_ns=45.2,
    clock_resolution_ns=1.0,
    slept_s=0.0,
    python="CPython 3.11.7",
    python_debug=False,
    python_variables=(),
    temporary_folder="/scratch",
    temporary_free_bytes=20_000_000_000,
)
QUICK = PlanNeeds(name="quick", connections=64, open_files=164, deployments=("flask-threaded", "quart-hypercorn"))
FULL = PlanNeeds(name="full", connections=1000, open_files=1100, deployments=("flask-threaded", "flask-waitress@nginx"))
INSTALLED = Installed(
    deployments=3,
    servable=("flask-threaded", "quart-hypercorn", "flask-waitress@nginx"),
    lacks=(),
    hindered={},
    own_lacks=(),
    tls=(Tls(stack="pyopenssl", openssl="4.0.1", default_group="X25519MLKEM768", post_quantum_refusal=None),),
    plans=(FULL, QUICK),
    peer="wrk",
    has_apt=True,
)
EVEN = Pace(pieces=1480, fast_us=20.0, slow_us=20.8, slowed_share=0.002)
WATCHED = Watched(
    watched_s=3.0,
    processors=(
        WatchedProcessor(number=2, role="server", others_share=0.01, pace=EVEN),
        WatchedProcessor(number=3, role="generator", others_share=0.02, pace=EVEN),
    ),
    stolen_share=0.0,
    suspended_s=0.0,
    busiest=(),
)
EXAMINATION = Examination(machine=MACHINE, installed=INSTALLED, watched=WATCHED)
