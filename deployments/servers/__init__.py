"""One module for each server; each offers DEPLOYMENTS. The registry lists the modules."""
