"""Plans, trials, statistics, probes, the report, and the `bench` command.

Starts servers and Locust as processes and never imports them. May import deployments, device_api's state, digest_auth
and certs. This module and `harness.recording` import the standard library only: Locust's process reads them too, and
there gevent has patched it by then. Importing touches no file.
"""
