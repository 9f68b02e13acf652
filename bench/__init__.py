"""What `locust -f bench/` loads: one locustfile for each kind of client.

Locust executes every *.py in here whose name does not start with an underscore, and puts it into sys.modules under its
bare stem. So plainly named files hold kinds of client and nothing else, no stem is the name of a module that anyone
imports, and what they share is in underscore modules, imported as `bench._x`. From the rest of the project only
digest_auth, certs, device_api's state and harness.recording may be imported. Nobody imports a plainly named file: it
would run twice.
"""
