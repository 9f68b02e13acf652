"""What a handshake and a record cost a server's processor, by TLS stack, version, key and group; measured in memory.

Client and server shake hands over memory buffers in one process, and only the server's steps are timed: no sockets, no
server program, no requests. So a figure here is the TLS library's (and its Python layer's) alone, which what a whole
server pays for a connection contains.

`figures` is what is measured and the file it stands in; `measuring` conducts it and starts `worker`, a process for each
TLS stack and group, which times `endpoints`; `comparison` makes levels and ratios of it.
"""
