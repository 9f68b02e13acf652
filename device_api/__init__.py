"""The network device that both implementations serve: model, datastore, route table, settings, state folder.

Whatever decides is here, once: what a request means, what is stored, how an error reads, who may come in.
No web framework and no server is known here; waiting (ping) and routing belong to flask_impl and quart_impl.
Imported by flask_impl and quart_impl; deployments, harness and bench may import `settings`, `state` and
`ready` alone, so those three never import the rest (SQLAlchemy included). Importing touches no file.
"""
