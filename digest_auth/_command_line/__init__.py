"""The commands of `python -m digest_auth`, a module each; `_frame` holds what all of them share.

A command reads its arguments, asks for a password if need be, has the users file read or changed, and puts what came
of it into words. It prints nothing itself but the prompt: its lines are returned.
"""
