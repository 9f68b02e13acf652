"""One module for each proxy; each offers PROXY. The registry says which servers stand behind which."""
