"""Whether this machine is fit to measure on, what it lacks for which deployment, and what to do about it.

Facts in, findings out. `machine`, `installed` and `watching` look, each into a value of its own, and judge nothing;
`machine_findings`, `installed_findings` and `quiet_findings` judge such values and look at nothing; `examination` puts
them together for `bench doctor`. What counts as too loud is what the trials themselves are judged by (harness.window).
Imported by harness.commands; imports no load generator and no report, so that it also answers where those are missing.
"""
