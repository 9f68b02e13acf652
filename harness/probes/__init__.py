"""Single looks at a server, as opposed to load: what a handshake costs its client, where one request's time goes.

`handshake` uses pyOpenSSL on memory BIOs, so that bytes and flights are counted and a resumption is proved;
`phases` uses httpx. Both verify the server's certificate. Importing touches no file.
"""
