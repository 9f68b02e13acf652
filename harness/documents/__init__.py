"""Documents whose figures are a run's: what stands between their markers is made by a command, never by hand.

`python -m harness.documents RUN_DIR…` rewrites README.md and docs/deployments.md (`make docs` does it over the kept
runs in docs/sample-run). `markers` knows where a block begins and ends, `blocks` what a run has to say in one,
`ranking` the words; `picture` alone needs a browser. Nothing here measures anything, and nothing in the product
imports it.
"""
